"""A server of files by FTP (RFC 959) on the loopback interface: one file, for readers only."""

import contextlib
import socket
import threading


class FTPServer:
    """Serves one file under the name ``a.fits``."""

    def __init__(self, data):
        self._data = data
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"ftp://me:word@127.0.0.1:{self._socket.getsockname()[1]}/a.fits"
        self.reads = 0
        self._connections = []
        self._threads = []

    def __enter__(self):
        self._start(self._accept)
        return self

    def _start(self, work, *args):
        self._threads.append(threading.Thread(target=work, args=args, daemon=True))
        self._threads[-1].start()

    def __exit__(self, *exception):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self._socket.accept()[0]
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # ABOR is urgent
                self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection):
        start, listening = 0, None
        with contextlib.suppress(OSError), connection, connection.makefile("rwb", buffering=0) as file:
            file.write(b"220 ready\r\n")
            for line in file:
                command, _, argument = line.decode().strip().partition(" ")
                if command in {"EPSV", "PASV"}:
                    listening = socket.create_server(("127.0.0.1", 0))
                    port = listening.getsockname()[1]
                    place = f"229 (|||{port}|)" if command == "EPSV" else f"227 (127,0,0,1,{port >> 8},{port & 255})"
                    file.write(f"{place}\r\n".encode())
                elif command in {"MLSD", "RETR"}:
                    facts = f"type=file;size={len(self._data)};modify=20200101000000; a.fits\r\n".encode()
                    file.write(b"150 it comes\r\n")
                    sent = self._send(listening, facts if command == "MLSD" else self._data[start:])
                    file.write(b"226 done\r\n" if sent else b"426 ended\r\n")
                    self.reads += command == "RETR"
                    start = 0
                else:
                    start = int(argument) if command == "REST" else start
                    answer = {"USER": "331", "PASS": "230", "REST": "350", "ABOR": "226", "QUIT": "221"}.get(
                        command, "200"
                    )
                    file.write(f"{answer} well\r\n".encode())

    def _send(self, listening, data):
        try:
            with listening, listening.accept()[0] as out:
                out.sendall(data)
        except OSError:
            return False
        return True
