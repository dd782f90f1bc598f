/* Fields of COPY BINARY tuples in the canonical form that digests are made of: equal values are equal bytes.
 *
 * Layouts: the send functions of PostgreSQL's types. Whole functions stand here because digest.c, which alone uses them,
 * is to be compiled with them; a hint to inline them made it 3 % slower.
 */
#ifndef MSSQL_PG_MIGRATE_CANONICAL_H
#define MSSQL_PG_MIGRATE_CANONICAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "digest.h"

static inline uint32_t be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t be32(const uint8_t *p) { return be16(p) << 16 | be16(p + 2); }
static inline uint64_t be64(const uint8_t *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }

static inline uint8_t *put_be16(uint8_t *o, uint32_t v)
{
    o[0] = (uint8_t)(v >> 8);
    o[1] = (uint8_t)v;
    return o + 2;
}

static inline uint8_t *put_be32(uint8_t *o, uint32_t v) { return put_be16(put_be16(o, v >> 16), v); }
static inline uint8_t *put_be64(uint8_t *o, uint64_t v) { return put_be32(put_be32(o, (uint32_t)(v >> 32)), (uint32_t)v); }

static inline uint8_t *put_le32(uint8_t *o, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *o++ = (uint8_t)(v >> 8 * i);
    return o;
}

static inline uint8_t *put_le64(uint8_t *o, uint64_t v) { return put_le32(put_le32(o, (uint32_t)v), (uint32_t)(v >> 32)); }

typedef struct {
    const uint8_t *data; /* behind the length */
    int32_t length;      /* -1: NULL */
} field;

/* A field in canonical form: `head` begins with its length, `body` is a part of the input. */
typedef struct {
    uint8_t head[24];
    size_t head_size;
    const uint8_t *body;
    size_t body_size;
} canonical;

static int load_integer(const field *f, int64_t *value)
{
    switch (f->length) {
    case 2:
        *value = (int16_t)be16(f->data);
        return 1;
    case 4:
        *value = (int32_t)be32(f->data);
        return 1;
    case 8:
        *value = (int64_t)be64(f->data);
        return 1;
    default:
        return 0;
    }
}

static int load_float(const field *f, uint64_t *bits)
{
    if (f->length == 8)
        *bits = be64(f->data);
    else if (f->length == 4) {
        uint32_t narrow_bits = be32(f->data);
        float narrow;
        double wide;
        memcpy(&narrow, &narrow_bits, 4);
        wide = narrow;
        memcpy(bits, &wide, 8);
    } else
        return 0;
    return 1;
}

#define NUMERIC_SPECIAL 0xC000u /* NaN and the infinities have both of these bits, a negative number the lower one */

/* int16 count of groups, int16 weight of the first, uint16 sign, uint16 display scale, groups of base 10000. */
static int canonical_numeric(const field *f, canonical *c)
{
    uint32_t count, sign;
    int32_t weight;
    const uint8_t *groups;
    uint8_t *o = c->head;
    if (f->length < 8)
        return 0;
    count = be16(f->data);
    weight = (int16_t)be16(f->data + 2);
    sign = be16(f->data + 4);
    if ((uint32_t)f->length != 8 + 2 * count)
        return 0;
    groups = f->data + 8;
    if ((sign & NUMERIC_SPECIAL) == NUMERIC_SPECIAL) {
        count = 0;
        weight = 0;
    } else {
        while (count && be16(groups) == 0) {
            groups += 2;
            weight--;
            count--;
        }
        while (count && be16(groups + 2 * (count - 1)) == 0)
            count--;
        if (count == 0) {
            weight = 0;
            sign = 0;
        }
    }
    o = put_be32(o, 4 + 2 * count);
    o = put_be16(o, (uint32_t)weight);
    o = put_be16(o, sign);
    c->head_size = (size_t)(o - c->head);
    c->body = groups;
    c->body_size = 2 * (size_t)count;
    return 1;
}

static void integer_as_numeric(int64_t value, canonical *c)
{
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint16_t groups[5];
    int count = 0, low = 0;
    uint8_t *o = c->head;
    for (; rest; rest /= 10000)
        groups[count++] = (uint16_t)(rest % 10000);
    while (low < count && groups[low] == 0)
        low++;
    o = put_be32(o, (uint32_t)(4 + 2 * (count - low)));
    o = put_be16(o, count ? (uint32_t)(count - 1) : 0);
    o = put_be16(o, value < 0 ? 0x4000 : 0);
    for (int i = count; i > low;)
        o = put_be16(o, groups[--i]);
    c->head_size = (size_t)(o - c->head);
    c->body = NULL;
    c->body_size = 0;
}

/* 0 when the field's width is not one its kind has. */
static int canonicalize(uint8_t kind, const field *f, canonical *c)
{
    uint64_t wide = 0;
    int64_t integer = 0;
    c->body = NULL;
    c->body_size = 0;
    if (f->length < 0) {
        c->head_size = (size_t)(put_be32(c->head, 0xFFFFFFFFu) - c->head);
        return 1;
    }
    switch (kind) {
    case DG_INTEGER:
        if (!load_integer(f, &integer))
            return 0;
        c->head_size = (size_t)(put_be64(put_be32(c->head, 8), (uint64_t)integer) - c->head);
        return 1;
    case DG_FLOAT:
        if (!load_float(f, &wide))
            return 0;
        c->head_size = (size_t)(put_be64(put_be32(c->head, 8), wide) - c->head);
        return 1;
    case DG_NUMERIC:
        return canonical_numeric(f, c);
    case DG_INT_NUMERIC:
        if (!load_integer(f, &integer))
            return 0;
        integer_as_numeric(integer, c);
        return 1;
    case DG_TRIMMED:
        c->body_size = (size_t)f->length;
        while (c->body_size && f->data[c->body_size - 1] == ' ')
            c->body_size--;
        break;
    default:
        c->body_size = (size_t)f->length;
    }
    c->body = f->data;
    c->head_size = (size_t)(put_be32(c->head, (uint32_t)c->body_size) - c->head);
    return 1;
}

#endif
