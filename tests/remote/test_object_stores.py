"""Emulators of S3, Google Cloud Storage and Azure on this machine: who may read, what fails how, what changes, and what is told of keys."""

import contextlib
import io
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
import traceback
import urllib.request

import fsspec
import numpy as np
import pytest
from astropy.io import fits

import scichunk
from scichunk.errors import ScichunkError, SourceError
from scichunk.testing import RangeServer

PIXELS = np.arange(300 * 300, dtype="i4").reshape(300, 300)
QUICK = {"retry_wait": 0.001, "retries": 2, "timeout": 5.0}
SECRET = "hunter2swordfish"  # what must be shown nowhere


def fits_bytes(pixels):
    out = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(out)
    return out.getvalue()


FIRST, SECOND = fits_bytes(PIXELS), fits_bytes(PIXELS + 1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, port, **env):
    """A server in a process of its own, for as long as it is needed."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | env
    ) as process:
        try:
            end = time.monotonic() + 60
            while True:
                assert process.poll() is None, f"{command[0]} has ended"
                assert time.monotonic() < end, f"{command[0]} does not answer"
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def s3():
    """An S3 that knows one user: a client of an administrator, the address, and the user's keys."""
    pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, INITIAL_NO_AUTH_ACTION_COUNT="5") as address:
        admin = {
            "endpoint_url": address,
            "region_name": "us-east-1",
            "aws_access_key_id": "a",
            "aws_secret_access_key": "b",
        }
        iam, client = boto3.client("iam", **admin), boto3.client("s3", **admin)
        iam.create_user(UserName="reader")
        rule = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=rule)
        made = iam.create_access_key(UserName="reader")["AccessKey"]
        keys = {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
        client.create_bucket(Bucket="bkt")
        client.put_object(Bucket="bkt", Key="a.fits", Body=FIRST)
        user = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id=keys["key"],
            aws_secret_access_key=keys["secret"],
        )
        yield user, address, keys


def s3_options(address, keys, by):
    """Storage options for s3fs and for obstore: the URL, and what goes with it."""
    if by == "s3fs":
        pytest.importorskip("s3fs")
        once = {"config_kwargs": {"retries": {"total_max_attempts": 1}}, "skip_instance_cache": True}
        return "s3://bkt/a.fits", {**keys, "endpoint_url": address, **once}
    store = pytest.importorskip("obstore.store")
    named = {"access_key_id": keys.get("key"), "secret_access_key": keys.get("secret"), "token": keys.get("token")}
    named = {k: v for k, v in named.items() if v is not None} or {"skip_signature": True}
    made = store.S3Store(
        "bkt",
        endpoint=address,
        region="us-east-1",
        **named,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    return "a.fits", {"store": made}


def everything(error):
    """All that an error and what stands behind it can show."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


BY = ["s3fs", "obstore"]


@pytest.mark.parametrize("by", BY)
def test_the_right_keys(s3, by):
    _, address, keys = s3
    url, options = s3_options(address, keys, by)
    array = scichunk.from_fits(url, storage_options=options)
    np.testing.assert_array_equal(array.compute(), PIXELS)
    shown = "\n".join(map(str, (array.name, list(array.dask.keys()), repr(dict(array.dask)), array._repr_html_())))
    assert keys["secret"] not in shown
    assert keys["key"] not in shown


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("how", ["no such key", "a wrong secret", "nothing at all"])
def test_wrong_keys(s3, by, how):
    _, address, keys = s3
    given = {
        "no such key": {"key": "AKIAIOSFODNN7EXAMPLE", "secret": SECRET},
        "a wrong secret": {"key": keys["key"], "secret": SECRET},
        "nothing at all": {"anon": True} if by == "s3fs" else {},
    }[how]
    url, options = s3_options(address, given, by)
    with scichunk.options.set(**QUICK), pytest.raises(SourceError, match=r"a\.fits") as caught:
        scichunk.from_fits(url, storage_options=options)
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize("by", BY)
def test_objects_that_everybody_may_read(by):
    """Anonymous requests carry no signature."""
    seen = []
    with RangeServer({"bkt/a.fits": FIRST}) as server:
        server.alter = lambda request, reply: seen.append(dict(request.headers))
        url, options = s3_options(server.url("").rstrip("/"), {"anon": True} if by == "s3fs" else {}, by)
        np.testing.assert_array_equal(scichunk.from_fits(url, storage_options=options).compute(), PIXELS)
    assert seen
    assert not any("authorization" in {k.lower() for k in headers} for headers in seen)


def refuse(status, code):
    """A reply of S3 that is an error."""

    def alter(request, reply):
        reply.status = status
        reply.body = f"<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>".encode()
        reply.headers["Content-Type"] = "application/xml"

    return alter


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("when", ["opened", "read"])
def test_keys_that_have_expired(by, when):
    with RangeServer({"bkt/a.fits": FIRST}) as server, scichunk.options.set(**QUICK):
        keys = {"key": "ASIAEXAMPLE", "secret": SECRET, "token": SECRET}
        url, options = s3_options(server.url("").rstrip("/"), keys, by)
        array = scichunk.from_fits(url, storage_options=options) if when == "read" else None
        server.alter = refuse(400, "ExpiredToken")
        with pytest.raises(SourceError, match=r"a\.fits") as caught:
            array.compute(scheduler="synchronous") if array is not None else scichunk.from_fits(
                url, storage_options=options
            )
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize("by", BY)
def test_throttling_that_ends_and_that_does_not(by):
    """``SlowDown``: tried again with growing pauses, then an error."""
    with RangeServer({"bkt/a.fits": FIRST}) as server, scichunk.options.set(**QUICK):
        url, options = s3_options(server.url("").rstrip("/"), {"key": "a", "secret": SECRET}, by)
        array = scichunk.from_fits(url, storage_options=options, chunks="native")
        left = [2]
        slow_down = refuse(503, "SlowDown")

        def alter(request, reply):
            if left[0]:
                left[0] -= 1
                slow_down(request, reply)

        server.alter = alter
        np.testing.assert_array_equal(array.compute(scheduler="synchronous"), PIXELS)
        assert left == [0]
        scichunk.clear_caches()
        server.alter = slow_down
        with pytest.raises(SourceError, match=r"a\.fits") as caught:
            array.compute(scheduler="synchronous")
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize("by", BY)
def test_what_travels(s3, by):
    """A graph holds what a worker needs to open the file, keys included, and nothing where workers find their own."""
    _, address, keys = s3
    url, options = s3_options(address, keys, by)
    array = scichunk.from_fits(url, storage_options=options)
    assert keys["secret"].encode() in pickle.dumps(array)
    if by == "s3fs":
        own = {k: v for k, v in options.items() if k not in keys}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", keys["key"])
            patch.setenv("AWS_SECRET_ACCESS_KEY", keys["secret"])
            array = scichunk.from_fits(url, storage_options=own)
            data = pickle.dumps(array)
            assert keys["secret"].encode() not in data
            assert keys["key"].encode() not in data
            np.testing.assert_array_equal(pickle.loads(data).compute(), PIXELS)


@pytest.fixture(scope="module")
def gcs():
    """Google Cloud Storage: its address, and a function that stores an object."""
    pytest.importorskip("gcp_storage_emulator", reason="gcp-storage-emulator is not installed")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gcp_storage_emulator",
        "start",
        "--host=127.0.0.1",
        f"--port={port}",
        "--in-memory",
        "--default-bucket=bkt",
    ]
    with running(command, port) as address:

        def put(name, data):
            target = f"{address}/upload/storage/v1/b/bkt/o?uploadType=media&name={name}"
            urllib.request.urlopen(
                urllib.request.Request(target, data=data, method="POST", headers={"Content-Type": "application/fits"})
            ).close()

        yield address, put


def test_google_by_gcsfs(gcs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false"
        )  # asked when it is imported; what it turns off needs TLS
        pytest.importorskip("gcsfs", reason="gcsfs is not installed")
    address, put = gcs
    put("a.fits", FIRST)
    options = {"endpoint_url": address, "token": "anon", "skip_instance_cache": True}
    with scichunk.options.set(**QUICK):
        array = scichunk.from_fits("gs://bkt/a.fits", storage_options=options)
        np.testing.assert_array_equal(array.compute(), PIXELS)
        with pytest.raises(SourceError, match="none"):
            scichunk.from_fits("gs://bkt/none.fits", storage_options=options)
        array = scichunk.from_fits("gs://bkt/a.fits", storage_options=options)
        put("a.fits", SECOND)
        scichunk.clear_caches()
        with pytest.raises(SourceError, match="changed"):
            array.compute(scheduler="synchronous")
        np.testing.assert_array_equal(scichunk.from_fits("gs://bkt/a.fits", storage_options=options), PIXELS + 1)


KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key of the emulator's account, which its documentation prints."""


@pytest.fixture(scope="module")
def azure():
    """Azure's blobs: an address."""
    pytest.importorskip("obstore.store")
    command = shutil.which("azurite-blob") or shutil.which("azurite-blob", path=".azurite/node_modules/.bin")
    if command is None:
        pytest.skip("azurite is not installed: npm install --prefix .azurite azurite")
    port = free_port()
    given = [
        command,
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
        "--silent",
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
        "--disableTelemetry",
    ]
    with running(given, port) as address:
        yield f"{address}/devstoreaccount1"


def azure_store(address, **keys):
    import obstore.store

    return obstore.store.AzureStore(
        "bkt",
        account_name="devstoreaccount1",
        endpoint=address,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
        **keys,
    )


def test_azure(azure):
    import obstore
    from azure.storage.blob import BlobServiceClient  # comes with adlfs

    service = BlobServiceClient(azure, credential={"account_name": "devstoreaccount1", "account_key": KEY})
    service.create_container("bkt")
    store = azure_store(azure, account_key=KEY)
    obstore.put(store, "a.fits", FIRST)
    with scichunk.options.set(**QUICK):
        array = scichunk.from_fits("a.fits", storage_options={"store": store})
        np.testing.assert_array_equal(array.compute(), PIXELS)
        assert KEY not in repr(dict(array.dask))
        wrong = KEY[:-8] + "AAAAAA=="
        for keys in ({"account_key": wrong}, {"skip_signature": True}):
            with pytest.raises(SourceError, match=r"a\.fits") as caught:
                scichunk.from_fits("a.fits", storage_options={"store": azure_store(azure, **keys)})
            assert wrong not in everything(caught.value)
        obstore.put(store, "a.fits", SECOND)
        scichunk.clear_caches()
        with pytest.raises(SourceError, match="changed"):
            array.compute(scheduler="synchronous")


def test_azure_by_adlfs(azure):
    pytest.importorskip("adlfs", reason="adlfs is not installed")
    options = {"account_name": "devstoreaccount1", "account_key": KEY, "skip_instance_cache": True}
    options["connection_string"] = (
        f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={azure};"
    )
    system = fsspec.filesystem("az", **options)
    with contextlib.suppress(FileExistsError):
        system.mkdir("adl")
    system.pipe("adl/a.fits", FIRST)
    array = scichunk.from_fits("az://adl/a.fits", storage_options=options)
    np.testing.assert_array_equal(array.compute(), PIXELS)
    assert KEY not in repr(dict(array.dask))
    with scichunk.options.set(**QUICK), pytest.raises(ScichunkError) as caught:
        scichunk.from_fits("az://adl/none.fits", storage_options=options)
    assert KEY not in everything(caught.value)
