/* Character data to UTF-8: UTF-16LE, UTF-8 (checked) and single-byte code pages. */
#ifndef MSSQL_PG_MIGRATE_TEXT_H
#define MSSQL_PG_MIGRATE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Room the converters may scribble over behind their result. */
#define TX_SLACK 32

/* What the first offending character was; the numbers match tc_fault_code. */
typedef struct {
    int code;
    uint64_t detail;
} tx_fault;

/* A converter: reads whole characters from src, writes UTF-8 to out, returns the bytes read.
 * What is left over (at most 3 bytes) is the beginning of a character whose rest has not arrived; with `final` set
 * such a rest is a fault and is passed over, but for an odd last byte of UTF-16, which is always left.
 * A character that PostgreSQL cannot hold is reported in *fault unless one is there already, and becomes `?`;
 * U+0000 vanishes when `strip_nul` is set.
 * out must have room for tx_room(n) bytes. */
typedef struct {
    const uint16_t *page; /* the upper half of a code page */
    int strip_nul;
} tx_options;

typedef size_t (*tx_convert)(const uint8_t *src, size_t n, uint8_t **out, const tx_options *options, int final,
                             tx_fault *fault);

size_t tx_utf16(const uint8_t *src, size_t n, uint8_t **out, const tx_options *options, int final, tx_fault *fault);
size_t tx_utf8(const uint8_t *src, size_t n, uint8_t **out, const tx_options *options, int final, tx_fault *fault);
size_t tx_single(const uint8_t *src, size_t n, uint8_t **out, const tx_options *options, int final, tx_fault *fault);

/* Bytes that n bytes of any of the encodings can become, and the slack. */
static inline size_t tx_room(size_t n) { return n * 3 + TX_SLACK; }
static inline size_t tx_room_utf16(size_t n) { return n + n / 2 + TX_SLACK; }

/* 128 code units for the bytes 0x80-0xFF, 0xFFFF where there is no character; NULL for an unknown code page. */
const uint16_t *tx_code_page(unsigned number);

#endif
