/* TDS row tokens in, PostgreSQL COPY BINARY tuples out, in one pass.
 *
 * Free of Python and of any I/O: the caller puts raw bytes from the socket (packets with their headers) into the input
 * buffer, calls tc_run until it asks for more, and takes the tuples out. Every length in the stream is checked before
 * a byte behind it is read. The row loop allocates nothing; only the output buffer grows.
 *
 * Layouts: [MS-TDS] 2.2.3.1 (packet header), 2.2.5.4 (data types), 2.2.7.15 and 2.2.7.19 (NBCROW, ROW);
 * PostgreSQL "COPY", section "Binary Format", and the send/receive functions of the types.
 */
#ifndef MSSQL_PG_MIGRATE_TRANSCODE_H
#define MSSQL_PG_MIGRATE_TRANSCODE_H

#include <stddef.h>
#include <stdint.h>

#include "text.h"

/* What a COPY field holds; the order is that of mapping.types.Encoding. */
enum tc_encoding {
    TC_BOOL,
    TC_INT2,
    TC_INT4,
    TC_INT8,
    TC_NUMERIC,
    TC_FLOAT4,
    TC_FLOAT8,
    TC_TEXT,
    TC_BYTEA,
    TC_UUID,
    TC_DATE,
    TC_TIME,
    TC_TIMESTAMP,
    TC_TIMESTAMPTZ,
    TC_VECTOR,
    TC_NONE, /* no field: a column that is read for the key only */
    TC_ENCODINGS,
    TC_MARKED = TC_ENCODINGS /* BCP: bytes that the caller replaces, at the places tc_marks tells */
};

/* Results of tc_run and its kin. */
enum tc_status {
    TC_INPUT,     /* everything received is used: push more */
    TC_CHUNK,     /* a limit is reached: take the tuples, run again */
    TC_TOKEN,     /* a token that is no row stands at the read position */
    TC_END,       /* the message is over */
    TC_DATA,      /* the last row holds a value PostgreSQL cannot take; see fault */
    TC_MALFORMED, /* the stream is not what TDS allows; see fault */
    TC_MEMORY     /* no memory */
};

/* Reasons of TC_MALFORMED, and of TC_DATA (from TC_F_NUL on). */
enum tc_fault_code {
    TC_F_NONE,
    TC_F_PACKET_TYPE,
    TC_F_PACKET_LENGTH,
    TC_F_TRUNCATED,
    TC_F_LENGTH,
    TC_F_VALUE,
    TC_F_PLP_TOTAL,
    TC_F_ODD_TEXT,
    TC_F_TOKEN_SIZE,
    TC_F_NUL,
    TC_F_SURROGATE,
    TC_F_UTF8,
    TC_F_UNMAPPED,
    TC_F_TOO_LARGE,
    TC_F_NULL /* malformed: a NULL in a BCP column that has none */
};

/* A column of the result: its TYPE_INFO, the code page of its collation, and what to make of it.
 * key: the position of the column in the key, -1 when it is not part of it.
 * A column of a BCP data file: the declared type by the same numbers, `length` in bytes of the file (0xFFFF: (max)),
 * and whether it is nullable. */
typedef struct {
    uint8_t type_id;
    uint8_t precision;
    uint8_t scale;
    uint8_t encoding;
    uint16_t code_page;
    int16_t key;
    uint32_t length;
    uint8_t nullable;
} tc_spec;

/* Where and why. `detail` is a length, a byte, a code unit or a packet type, as the code has it. */
typedef struct {
    int code;
    int column;
    uint64_t detail;
} tc_fault;

/* A value of the row's key as it stood in the stream, without its length prefix. */
typedef struct {
    uint8_t *data;
    size_t capacity;
    size_t length;
    int state; /* 0 not seen, 1 NULL, 2 a value */
} tc_key;

typedef struct tc tc;

/* NULL, and the reason in `why` (a column index in `at`, -1 for none), when the columns cannot be served. */
tc *tc_new(const tc_spec *specs, int count, int strip_nul, size_t input_size, const char **why, int *at);
/* The same for the rows of a BCP data file: its bytes go into the input buffer as they are, tc_finish ends them. */
tc *tc_new_bcp(const tc_spec *specs, int count, int strip_nul, size_t input_size, const char **why, int *at);
void tc_free(tc *t);

/* Begin with the rest of a packet whose header was read elsewhere. 0 when it does not fit the input buffer. */
int tc_start(tc *t, const uint8_t *payload, size_t size, int last_packet);

/* No more bytes follow those pushed: the end of a BCP data file. */
void tc_finish(tc *t);

/* Free space of the input buffer: fill some of it, then tc_push as many bytes. 0 from tc_push: they were not there. */
uint8_t *tc_input(tc *t, size_t *room);
int tc_push(tc *t, size_t size);

/* Transcode until something stops it. Tuples gather until tc_take; the limits count what has gathered. */
int tc_run(tc *t, uint64_t max_rows, size_t max_bytes);

/* The payload at the read position, as far as it is contiguous; tc_extend joins more of it; tc_skip passes over it. */
const uint8_t *tc_token(const tc *t, size_t *size);
int tc_extend(tc *t);
int tc_skip(tc *t, size_t size);

/* Throw the rest of the message away but for its last `keep` bytes; TC_INPUT or TC_END, then tc_again for the next. */
int tc_discard(tc *t, size_t keep);
void tc_again(tc *t);

/* Gathered whole tuples: tc_take hands the malloc'ed memory over, NULL when there are none. */
uint64_t tc_rows(const tc *t);
size_t tc_bytes(const tc *t);
uint8_t *tc_take(tc *t, size_t *size);
/* TC_MARKED fields of what has gathered: offset of the field << 16 | column. NULLs are not among them. */
const uint64_t *tc_marks(const tc *t, size_t *count);
/* Memory for the output buffer, from the caller's spare ones; it must be malloc'ed. Returns 0 when one is in use. */
int tc_lend(tc *t, uint8_t *memory, size_t capacity);

const tc_fault *tc_last_fault(const tc *t);
int tc_key_count(const tc *t);
const tc_key *tc_key_at(const tc *t, int position);

#endif
