/* The steps of a row that every row loop takes: a small value into a field, a value kept for the key. */
#ifndef MSSQL_PG_MIGRATE_FIELDS_H
#define MSSQL_PG_MIGRATE_FIELDS_H

#include "core.h"
#include "values.h"

static inline uint8_t *put_small(uint8_t *o, const column *c, const uint8_t *v, unsigned size)
{
    switch (c->conversion) {
    case CV_BOOL:
        return put_bool(o, v[0]);
    case CV_SWAP2:
        return put_field2(o, le16(v));
    case CV_SWAP4:
        return put_field4(o, le32(v));
    case CV_SWAP8:
        return put_field8(o, le64(v));
    case CV_WIDEN2:
        return put_field2(o, (uint32_t)load_integer(v, size));
    case CV_WIDEN4:
        return put_field4(o, (uint32_t)load_integer(v, size));
    case CV_WIDEN8:
        return put_field8(o, (uint64_t)load_integer(v, size));
    case CV_INT_NUMERIC:
        return put_signed_numeric(o, load_integer(v, size), 0);
    case CV_DECIMAL:
        return put_decimal(o, v, size, c->scale);
    case CV_MONEY:
        return put_signed_numeric(o, load_money(v), 4);
    case CV_SMALLMONEY:
        return put_signed_numeric(o, (int32_t)le32(v), 4);
    case CV_DOUBLE:
        return put_float_as_double(o, v);
    case CV_UUID:
        return put_uuid(o, v);
    case CV_DATE:
        return put_date(o, v);
    case CV_TIME:
        return put_time(o, v, c->scale);
    case CV_DATETIME2:
        return put_datetime2(o, v, c->scale);
    case CV_DATETIME:
        return put_datetime(o, v);
    case CV_SMALLDATETIME:
        return put_smalldatetime(o, v);
    default:
        return o;
    }
}

static inline void keep_null(const column *c)
{
    if (c->key)
        c->key->state = 1;
}

static inline int keep_value(const column *c, const uint8_t *v, size_t size)
{
    if (c->key) {
        if (size > c->key->capacity)
            return 0;
        if (size == 4)
            memcpy(c->key->data, v, 4);
        else if (size == 8)
            memcpy(c->key->data, v, 8);
        else
            memcpy(c->key->data, v, size);
        c->key->length = size;
        c->key->state = 2;
    }
    return 1;
}

#endif
