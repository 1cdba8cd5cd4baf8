"""Damage to FITS files: cards, descriptors, heaps and blocks (FITS 4.0, sections 3, 4, 7 and 10)."""

from __future__ import annotations

import random
import re

from tests.fuzz.mutate.octets import damage, edge, put
from tests.fuzz.mutate.octets import mutate as mutate_octets

CARD, BLOCK = 80, 2880
KEYS = """
SIMPLE XTENSION BITPIX NAXIS NAXIS1 NAXIS2 NAXIS3 PCOUNT GCOUNT TFIELDS THEAP EXTEND GROUPS BSCALE BZERO BLANK
ZIMAGE ZTABLE ZCMPTYPE ZBITPIX ZNAXIS ZNAXIS1 ZNAXIS2 ZTILE1 ZTILE2 ZTILELEN ZNAME1 ZVAL1 ZNAME2 ZVAL2
ZQUANTIZ ZDITHER0 ZBLANK ZSCALE ZZERO ZMASKCMP ZPCOUNT ZFORM1 ZFORM2 ZCTYP1 ZCTYP2 ZSIMPLE ZEXTEND ZTENSION
TFORM1 TFORM2 TFORM3 TDIM1 TDIM2 TSCAL1 TZERO1 TNULL1 TNULL2 TTYPE1 TTYPE2 TBCOL1 TBCOL2 TUNIT1 TDISP1 EXTNAME
EXTVER INHERIT CTYPE1 CTYPE2 CRVAL1 CRPIX1 CDELT1 CUNIT1 CD1_1 PC1_1 WCSAXES RADESYS DATAMAX DATE-OBS CONTINUE
COMMENT HIERARCH END AMDX1 AMDX14 AMDY3 PLTRAH DP1 DQ1 DQ2 CPDIS1 CQDIS1 WAT1_001 WAT2_001 A_ORDER A_2_0 AP_0_1 PV1_1 PV2_1 PS1_0
""".split()  # noqa: SIM905
NUMBERS = ("0", "1", "-1", "2", "3", "4", "7", "8", "16", "32", "-32", "64", "-64", "255", "65535", "65536", "999", "1000",
           "2147483647", "2147483648", "-2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
           "-9223372036854775808", "1" * 30, "9" * 68, "0.5", "1.5", "1E400", "-1E308", "1E-400", "NAN", "INF", "1D3", "+5", "0x1F")  # fmt: skip
WORDS = ("T", "F", "", "''", "'&'", "'A''B'", "(1,2)", "'", "'unclosed", "1 / c", "'1J'", "'0J'", "'99999999999J'", "'-1J'",
         "'1PB(2147483647)'", "'1QE(5)'", "'1PA'", "'2PJ'", "'P'", "'20A5'", "'0A'", "'1X'", "'99X'", "'1L'", "'4C'", "'M'", "'K'",
         "'I6'", "'E12.5'", "'F8.40'", "'I999999999'", "'A0'", "'(2,3)'", "'(0,1)'", "'(9999999999,9999999999)'", "'(((('", "'()'",
         "'RICE_1'", "'GZIP_1'", "'GZIP_2'", "'PLIO_1'", "'HCOMPRESS_1'", "'NOCOMPRESS'", "'RICE_ONE'", "'BYTEPIX'", "'BLOCKSIZE'",
         "'SMOOTH'", "'SUBTRACTIVE_DITHER_1'", "'SUBTRACTIVE_DITHER_2'", "'NO_DITHER'", "'BINTABLE'", "'IMAGE   '", "'TABLE   '",
         "'RA---TAN'", "'DEC--SIP'", "'WAVE-TAB'", "'\xe9'", "'RA---TPV'", "'RA---TNX'", "'RA---ZPN'", "'TPD'", "'Lookup'", "'NAXES: 2'",
         "'AXIS.1: 1'", "'OFFSET.2: 1'", "'SCALE.1: 1'", "'TPD.FWD.1: 1'", "'DSS.AMD.1: 1'")  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change cards, data units or blocks; what is no FITS file is damaged without its structure."""
    cards, ends = _cards(data)
    if not cards:
        return mutate_octets(data, rng)
    copy = bytearray(data)
    rng.choices((_value, _card, _unit, _blocks), (10, 4, 6, 1))[0](copy, cards, ends, rng)
    return bytes(copy)


def _cards(data):
    """Where cards begin that have a value or end a header, and where headers end."""
    cards, ends, inside = [], [], data[:6] == b"SIMPLE"
    for at in range(0, min(len(data), 200 * BLOCK), CARD):
        text = data[at : at + CARD]
        inside = inside or (at % BLOCK == 0 and text[:9] in {b"SIMPLE  =", b"XTENSION="})
        if inside and text[:8] == b"END     ":
            inside = False
            ends.append(at)
            cards.append(at)
        elif inside and text[8:10] == b"= ":
            cards.append(at)
    return cards, ends


def _write(copy, at, text):
    copy[at : at + CARD] = text.encode("latin-1").ljust(CARD)[:CARD]


def _value(copy, cards, ends, rng):
    """The value of a card: another of its kind, of another kind, or close to what it was."""
    at = rng.choice(cards)
    key, text = bytes(copy[at : at + 8]), bytes(copy[at + 10 : at + CARD])
    number, quoted = re.match(rb"\s*(-?\d+)", text), re.match(rb"\s*'([^']*)'", text)
    kind = rng.random()
    if number and kind < 0.5:
        old = int(number[1])
        new = str(rng.choice((old + 1, old - 1, -old, old * 2, old * 1000, old // 2, old + (1 << 32), old << 20)))
    elif quoted and kind < 0.4:
        letters = bytearray(quoted[1] or b" ")
        inside = list(re.finditer(rb"\d+", letters))  # as of records, forms and surfaces
        if inside and rng.random() < 0.5:
            where = rng.choice(inside).span()
            letters[slice(*where)] = rng.choice(NUMBERS).encode()
        else:
            damage(letters, rng)
        new = "'" + re.sub(r"[^ -~]", "?", letters.decode("latin-1")) + "'"
    elif number:
        new = rng.choice(NUMBERS)
    else:
        new = rng.choice(WORDS + NUMBERS)
    _write(copy, at, f"{key.decode('latin-1')}= {new:>20}")


def _card(copy, cards, ends, rng):
    """A card that is missing, there twice, at another place, or has another keyword."""
    at, kind = rng.choice(cards), rng.randrange(6)
    if kind == 0:
        _write(copy, at, "")
    elif kind == 1:
        other = rng.choice(cards)
        copy[at : at + CARD] = copy[other : other + CARD]
    elif kind == 2:
        _write(copy, at, f"{rng.choice(KEYS):8}= {rng.choice(NUMBERS + WORDS):>20}")
    elif kind == 3:
        copy[at : at + 8] = rng.choice(KEYS).ljust(8)[:8].encode()
    elif kind == 4:
        damage(copy, rng, at, at + CARD)
    else:  # cards below move up
        end = next((e for e in ends if e >= at), at)
        copy[at:end] = copy[at + CARD : end + CARD]
        _write(copy, end, "")


def _unit(copy, cards, ends, rng):
    """Pixels, rows, descriptors and heaps: damage, and integers that are lengths or places if they stand in descriptors."""
    end = rng.choice(ends) if ends else 0
    start = -(-(end + CARD) // BLOCK) * BLOCK
    stop = min(len(copy), start + rng.choice((64, 400, len(copy))))
    for _ in range(rng.choice((1, 1, 2, 6))):
        if rng.random() < 0.4 and stop - start >= 8:
            at = start + 4 * rng.randrange((stop - start) // 4)
            size = rng.choice((4, 8))
            put(copy, at, size, edge(rng, 8 * size, int.from_bytes(copy[at : at + size], "big")), "big")
        else:
            damage(copy, rng, start, stop)


def _blocks(copy, cards, ends, rng):
    """Blocks that are missing or there twice, and files that end too early."""
    at, kind = BLOCK * rng.randrange(max(1, len(copy) // BLOCK)), rng.randrange(4)
    if kind == 0:
        del copy[at : at + BLOCK]
    elif kind == 1:
        copy[at:at] = copy[at : at + BLOCK]
    elif kind == 2:
        del copy[at + rng.choice((0, 1, 80, 1000)) :]
    else:
        del copy[len(copy) - rng.choice((1, 100, BLOCK)) :]
