#include "digest.h"

#include "canonical.h"
#include "rowhash.h"

#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define PREFETCH(p) __builtin_prefetch((p), 1)
#else
#define PREFETCH(p) ((void)(p))
#endif

/* --- CRC-32 (the one of zlib, reflected polynomial 0xEDB88320), which chooses buckets ------------------------------ */

typedef struct {
    uint32_t slice[4][256];
} crc_tables;

static void crc_prepare(crc_tables *t)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
        t->slice[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int s = 1; s < 4; s++)
            t->slice[s][i] = t->slice[s - 1][i] >> 8 ^ t->slice[0][t->slice[s - 1][i] & 0xFF];
}

static uint32_t crc_add(const crc_tables *t, uint32_t c, const uint8_t *p, size_t size)
{
    for (; size >= 4; p += 4, size -= 4) {
        c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        c = t->slice[3][c & 0xFF] ^ t->slice[2][c >> 8 & 0xFF] ^ t->slice[1][c >> 16 & 0xFF] ^ t->slice[0][c >> 24];
    }
    while (size--)
        c = c >> 8 ^ t->slice[0][(c ^ *p++) & 0xFF];
    return c;
}

/* --- the digest ---------------------------------------------------------------------------------------------------- */

/* What becomes of a row: added to its bucket, or, in the selected buckets, listed or kept as it is. */
enum mode { SUMMING, LISTING, KEEPING };

struct dg {
    int count;
    int bits;
    int header; /* still to come */
    int ended;
    int keyed;     /* a column has the role DG_KEY */
    int plain;     /* all columns are DG_RAW */
    enum mode mode;
    uint64_t kept_rows;
    uint64_t rows;
    uint8_t *kinds;
    uint8_t *roles;
    field *fields;
    dg_bucket *buckets;
    uint8_t *selected;
    uint8_t *listed;
    size_t listed_size;
    size_t listed_capacity;
    int fault;
    int fault_column;
    int64_t fault_detail;
    crc_tables crc;
    rh_key key;
    rh_state row;
    uint64_t hash[2]; /* of the last row */
};

dg *dg_new(const uint8_t *kinds, const uint8_t *roles, int count, const uint8_t key[DG_KEY_BYTES], int bits, int header)
{
    dg *d;
    if (count < 0 || count > DG_MAX_COLUMNS || bits < 0 || bits > DG_MAX_BITS)
        return NULL;
    for (int i = 0; i < count; i++)
        if (kinds[i] >= DG_KINDS || roles[i] >= DG_ROLES)
            return NULL;
    d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->count = count;
    d->bits = bits;
    d->header = header;
    d->plain = 1;
    d->kinds = malloc((size_t)count + 1);
    d->roles = malloc((size_t)count + 1);
    d->fields = malloc(((size_t)count + 1) * sizeof *d->fields);
    d->buckets = calloc((size_t)1 << bits, sizeof *d->buckets);
    if (!d->kinds || !d->roles || !d->fields || !d->buckets) {
        dg_free(d);
        return NULL;
    }
    for (int i = 0; i < count; i++) {
        d->kinds[i] = kinds[i];
        d->roles[i] = roles[i];
        d->plain = d->plain && kinds[i] == DG_RAW;
        d->keyed = d->keyed || roles[i] == DG_KEY;
    }
    rh_prepare(&d->key, key);
    crc_prepare(&d->crc);
    return d;
}

void dg_free(dg *d)
{
    if (!d)
        return;
    free(d->kinds);
    free(d->roles);
    free(d->fields);
    free(d->buckets);
    free(d->selected);
    free(d->listed);
    free(d);
}

uint64_t dg_rows(const dg *d) { return d->rows; }

const dg_bucket *dg_buckets(const dg *d, size_t *count)
{
    *count = (size_t)1 << d->bits;
    return d->buckets;
}

static int choose(dg *d, const uint8_t *bitmap, enum mode mode)
{
    size_t size = ((size_t)1 << d->bits) / 8;
    if (size == 0)
        size = 1;
    if (!d->selected)
        d->selected = malloc(size);
    if (!d->selected)
        return 0;
    memcpy(d->selected, bitmap, size);
    d->mode = mode;
    return 1;
}

int dg_select(dg *d, const uint8_t *bitmap) { return choose(d, bitmap, LISTING); }

int dg_keep(dg *d, const uint8_t *bitmap) { return choose(d, bitmap, KEEPING); }

const uint8_t *dg_kept(const dg *d, size_t *size, uint64_t *rows)
{
    *rows = d->kept_rows;
    return dg_listed(d, size);
}

const uint8_t *dg_listed(const dg *d, size_t *size)
{
    *size = d->listed_size;
    return d->listed;
}

void dg_forget_listed(dg *d)
{
    d->listed_size = 0;
    d->kept_rows = 0;
}

int dg_fault_at(const dg *d, int *column, int64_t *detail)
{
    *column = d->fault_column;
    *detail = d->fault_detail;
    return d->fault;
}

static int malformed(dg *d, int fault, int column, int64_t detail)
{
    d->fault = fault;
    d->fault_column = column;
    d->fault_detail = detail;
    return DG_MALFORMED;
}

/* --- rows ---------------------------------------------------------------------------------------------------------- */

/* Find the fields of the tuple at `data`; 1: found, its size in `used`; 0: it is not whole; -1: malformed. */
static int find_fields(dg *d, const uint8_t *data, size_t size, size_t *used)
{
    size_t at = 2;
    for (int i = 0; i < d->count; i++) {
        int32_t length;
        if (size - at < 4)
            return 0;
        length = (int32_t)be32(data + at);
        at += 4;
        if (length < -1) {
            malformed(d, DG_F_LENGTH, i, length);
            return -1;
        }
        d->fields[i].data = data + at;
        d->fields[i].length = length;
        if (length > 0) {
            if (size - at < (size_t)length)
                return 0;
            at += (size_t)length;
        }
    }
    *used = at;
    return 1;
}

/* Hash all fields; runs of raw ones are hashed as they lie. */
static int hash_row(dg *d, const uint8_t *tuple, size_t size)
{
    rh_begin(&d->row);
    if (d->plain) {
        rh_add(&d->row, &d->key, tuple + 2, size - 2);
    } else {
        const uint8_t *run = tuple + 2;
        for (int i = 0; i < d->count; i++) {
            const field *f = &d->fields[i];
            const uint8_t *next = f->data + (f->length > 0 ? f->length : 0);
            canonical c;
            if (d->kinds[i] == DG_RAW)
                continue;
            if (!canonicalize(d->kinds[i], f, &c)) {
                malformed(d, DG_F_WIDTH, i, f->length);
                return 0;
            }
            rh_add(&d->row, &d->key, run, (size_t)(f->data - 4 - run));
            rh_add(&d->row, &d->key, c.head, c.head_size);
            rh_add(&d->row, &d->key, c.body, c.body_size);
            run = next;
        }
        rh_add(&d->row, &d->key, run, (size_t)(tuple + size - run));
    }
    rh_finish(&d->row, &d->key, d->hash);
    return 1;
}

/* The bucket that the key chooses; a field whose width is wrong is left to hash_row. */
static uint32_t bucket_of_key(const dg *d)
{
    uint32_t hash = 0xFFFFFFFFu;
    for (int i = 0; i < d->count; i++) {
        canonical c;
        if (d->roles[i] != DG_KEY || !canonicalize(d->kinds[i], &d->fields[i], &c))
            continue;
        hash = crc_add(&d->crc, hash, c.head, c.head_size);
        hash = crc_add(&d->crc, hash, c.body, c.body_size);
    }
    return ~hash & (((uint32_t)1 << d->bits) - 1);
}

static int reserve_listed(dg *d, size_t more)
{
    size_t capacity = d->listed_capacity ? d->listed_capacity : 4096;
    uint8_t *grown;
    if (d->listed_capacity - d->listed_size >= more)
        return 1;
    if (more > SIZE_MAX / 2 - d->listed_size)
        return 0;
    while (capacity - d->listed_size < more)
        capacity *= 2;
    grown = realloc(d->listed, capacity);
    if (!grown)
        return 0;
    d->listed = grown;
    d->listed_capacity = capacity;
    return 1;
}

static int list_bytes(dg *d, const uint8_t *data, size_t size)
{
    if (!reserve_listed(d, size))
        return 0;
    if (size)
        memcpy(d->listed + d->listed_size, data, size);
    d->listed_size += size;
    return 1;
}

static int list_row(dg *d, uint32_t bucket)
{
    uint8_t small[16] = {0};
    size_t start = d->listed_size;
    if (!list_bytes(d, small, 4)) /* the record's size, known at the end */
        return 0;
    put_le32(small, bucket);
    if (!list_bytes(d, small, 4))
        return 0;
    for (int i = 0; i < d->count; i++) {
        canonical c;
        if (d->roles[i] == DG_DATA || !canonicalize(d->kinds[i], &d->fields[i], &c))
            continue;
        if (d->roles[i] == DG_LABEL && c.body_size > DG_LABEL_BYTES)
            c.body_size = DG_LABEL_BYTES;
        if (!list_bytes(d, c.head, c.head_size) || !list_bytes(d, c.body, c.body_size))
            return 0;
    }
    put_le64(put_le64(small, d->hash[0]), d->hash[1]);
    if (!list_bytes(d, small, 16) || d->listed_size - start > UINT32_MAX)
        return 0;
    put_le32(d->listed + start, (uint32_t)(d->listed_size - start - 4));
    return 1;
}

/* DG_MORE, DG_MALFORMED or DG_MEMORY. */
static int take_row(dg *d, const uint8_t *tuple, size_t size)
{
    uint32_t bucket = 0;
    if (d->keyed) {
        bucket = bucket_of_key(d);
        PREFETCH(&d->buckets[bucket]);
    }
    if (!hash_row(d, tuple, size))
        return DG_MALFORMED;
    if (!d->keyed)
        bucket = (uint32_t)d->hash[0] & (((uint32_t)1 << d->bits) - 1);
    d->rows++;
    if (d->mode != SUMMING) {
        if (!(d->selected[bucket >> 3] >> (bucket & 7) & 1))
            return DG_MORE;
        if (d->mode == LISTING ? !list_row(d, bucket) : !list_bytes(d, tuple, size))
            return DG_MEMORY;
        d->kept_rows++;
    } else {
        dg_bucket *b = &d->buckets[bucket];
        b->low += d->hash[0];
        b->high += d->hash[1] + (b->low < d->hash[0]);
        b->count++;
    }
    return DG_MORE;
}

#define SIGNATURE_SIZE 11
#define HEADER_SIZE 19
static const uint8_t signature[SIGNATURE_SIZE + 1] = "PGCOPY\n\377\r\n";

/* 1: passed over, its size in `used`; 0: not whole; -1: malformed. */
static int pass_header(dg *d, const uint8_t *data, size_t size, size_t *used)
{
    uint32_t extension;
    if (memcmp(data, signature, size < SIGNATURE_SIZE ? size : SIGNATURE_SIZE) != 0) {
        malformed(d, DG_F_HEADER, -1, 0);
        return -1;
    }
    if (size < HEADER_SIZE)
        return 0;
    /* Bits 16 to 31 of the flags are for critical changes of the format: none is known. */
    extension = be32(data + 15);
    if (be32(data + 11) >> 16 || extension > INT32_MAX) {
        malformed(d, DG_F_HEADER, -1, be32(data + 11));
        return -1;
    }
    if (size - HEADER_SIZE < extension)
        return 0;
    *used = HEADER_SIZE + extension;
    d->header = 0;
    return 1;
}

int dg_update(dg *d, const uint8_t *data, size_t size, size_t *used)
{
    size_t at = 0;
    *used = 0;
    if (d->header) {
        int found = pass_header(d, data, size, &at);
        if (found <= 0)
            return found < 0 ? DG_MALFORMED : DG_MORE;
        *used = at;
    }
    while (size - at >= 2) {
        int32_t count = (int16_t)be16(data + at);
        size_t tuple = 0;
        int found, status;
        if (d->ended)
            return malformed(d, DG_F_AFTER_END, -1, count);
        if (count == -1) {
            d->ended = 1;
            at += 2;
            *used = at;
            continue;
        }
        if (count != d->count)
            return malformed(d, DG_F_FIELD_COUNT, -1, count);
        found = find_fields(d, data + at, size - at, &tuple);
        if (found <= 0)
            return found < 0 ? DG_MALFORMED : DG_MORE;
        status = take_row(d, data + at, tuple);
        if (status != DG_MORE)
            return status;
        at += tuple;
        *used = at;
    }
    if (d->ended && at < size)
        return malformed(d, DG_F_AFTER_END, -1, 0);
    return d->ended ? DG_END : DG_MORE;
}
