/* Digests of COPY BINARY tuples, for comparing the rows of two servers whatever order they come in.
 *
 * Each row becomes a 128-bit hash (rowhash.h) of its fields in a canonical form, and is added to one of 2^bits buckets
 * that its key alone chooses. Two tables hold the same rows when all their buckets agree (count, and sum modulo 2^128); rows
 * that differ are found by reading again and listing the rows of the buckets that do not.
 *
 * Free of Python and of any I/O. Every length in the stream is checked before a byte behind it is read.
 *
 * Layouts: PostgreSQL "COPY", section "Binary Format", and the send functions of the types.
 */
#ifndef MSSQL_PG_MIGRATE_DIGEST_H
#define MSSQL_PG_MIGRATE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* The canonical form of a column's values. NULL has the same form everywhere: a length of -1 and nothing else. */
enum dg_kind {
    DG_RAW,         /* the field as it is */
    DG_INTEGER,     /* 2, 4 or 8 bytes, widened to 8 */
    DG_NUMERIC,     /* weight, sign and groups without leading and trailing zero groups; no display scale */
    DG_INT_NUMERIC, /* 2, 4 or 8 bytes of integer in the form of DG_NUMERIC */
    DG_FLOAT,       /* 4 or 8 bytes, widened to 8 */
    DG_TRIMMED,     /* text without trailing blanks */
    DG_KINDS
};

/* What a column is used for beyond its part in the hash of the row. */
enum dg_role {
    DG_DATA,  /* nothing */
    DG_KEY,   /* chooses the bucket, and is listed whole */
    DG_LABEL, /* listed, its beginning only (tables without a key; the hash of the row chooses the bucket) */
    DG_ROLES
};

/* Results of dg_update. */
enum dg_status {
    DG_MORE,      /* all whole tuples are used */
    DG_END,       /* the trailer was met; nothing may follow */
    DG_MALFORMED, /* not COPY data of these columns; see dg_fault_at */
    DG_MEMORY     /* no memory */
};

enum dg_fault {
    DG_F_NONE,
    DG_F_FIELD_COUNT,
    DG_F_LENGTH,
    DG_F_WIDTH, /* a number whose field has a width its type cannot have */
    DG_F_HEADER,
    DG_F_AFTER_END
};

#define DG_KEY_BYTES 40 /* see rowhash.h */
#define DG_MAX_BITS 20
#define DG_MAX_COLUMNS 32767
#define DG_LABEL_BYTES 48 /* of a label field, before the rest is left out */

typedef struct {
    uint64_t low;
    uint64_t high;
    uint64_t count;
} dg_bucket;

typedef struct dg dg;

/* NULL when there is no memory or an argument is out of range (count 0..DG_MAX_COLUMNS, bits 0..DG_MAX_BITS).
 * `header`: the stream begins with the file header of COPY. */
dg *dg_new(const uint8_t *kinds, const uint8_t *roles, int count, const uint8_t key[DG_KEY_BYTES], int bits,
           int header);
void dg_free(dg *d);

/* Take in the whole tuples at the beginning of `data`; `used` says how many bytes they were. */
int dg_update(dg *d, const uint8_t *data, size_t size, size_t *used);

uint64_t dg_rows(const dg *d);
const dg_bucket *dg_buckets(const dg *d, size_t *count);

/* From now on list the rows of the buckets whose bit is set instead of adding rows up; `bitmap` has 2^bits bits. 0 when
 * there is no memory. May be called again to narrow the selection. */
int dg_select(dg *d, const uint8_t *bitmap);

/* What was listed: records of a 4-byte size (little-endian, of what follows it), a 4-byte bucket number
 * (little-endian), the fields with a role other than DG_DATA in canonical form, and the 16 bytes of the row's hash. */
const uint8_t *dg_listed(const dg *d, size_t *size);
void dg_forget_listed(dg *d);

/* From now on keep the tuples of the buckets whose bit is set as they came, one behind the other, instead of adding rows
 * up. `dg_forget_listed` empties what was kept. */
int dg_keep(dg *d, const uint8_t *bitmap);
const uint8_t *dg_kept(const dg *d, size_t *size, uint64_t *rows);

/* The fault of DG_MALFORMED; `column` is -1 where none is concerned. */
int dg_fault_at(const dg *d, int *column, int64_t *detail);

#endif
