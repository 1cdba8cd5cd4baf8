"""Kernels of FITS tiles as their callers call them: with memory to work in, and data of a word at least."""

from scichunk.codecs import hcompress, rice
from scichunk.codecs.hcompress_codes import huffman_table
from scichunk.codecs.tile_scratch import hcompress_scratch, pad_words


def decode_rice(data, *arguments):
    rice.decode_rice(pad_words(data), *arguments)


def decode_hcompress(data, offsets, lengths, targets, rows, columns, out, status, *, kernels=hcompress):
    scratch = hcompress_scratch(rows, columns, out.size)
    kernels.decode_hcompress(data, offsets, lengths, targets, rows, columns, huffman_table(), *scratch, out, status)
