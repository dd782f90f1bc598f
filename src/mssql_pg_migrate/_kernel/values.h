/* Values of fixed or small size: from the bytes of a TDS row to the bytes of a COPY field, length prefix included.
 *
 * The put_ functions write at `o` and return what follows; every one of them writes at most TC_MAX_SMALL bytes.
 * Where a value can be out of its type's range they return NULL.
 */
#ifndef MSSQL_PG_MIGRATE_VALUES_H
#define MSSQL_PG_MIGRATE_VALUES_H

#include <stdint.h>
#include <string.h>

/* 4 length, 8 header of a numeric, 12 groups of 4 decimal digits. */
#define TC_MAX_SMALL 36

/* Little-endian machines with a byte swap instruction; anything else goes byte by byte. */
#if defined(TC_PORTABLE)
#elif defined(__GNUC__) && defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TC_SWAP16(v) __builtin_bswap16(v)
#define TC_SWAP32(v) __builtin_bswap32(v)
#define TC_SWAP64(v) __builtin_bswap64(v)
#elif defined(_MSC_VER)
#include <stdlib.h>
#define TC_SWAP16(v) _byteswap_ushort(v)
#define TC_SWAP32(v) _byteswap_ulong(v)
#define TC_SWAP64(v) _byteswap_uint64(v)
#endif

#if defined(TC_SWAP16)
static inline uint32_t le16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static inline uint32_t le32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint64_t le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint8_t *put16(uint8_t *o, uint32_t v)
{
    uint16_t swapped = TC_SWAP16((uint16_t)v);
    memcpy(o, &swapped, 2);
    return o + 2;
}

static inline uint8_t *put32(uint8_t *o, uint32_t v)
{
    uint32_t swapped = TC_SWAP32(v);
    memcpy(o, &swapped, 4);
    return o + 4;
}

static inline uint8_t *put64(uint8_t *o, uint64_t v)
{
    uint64_t swapped = TC_SWAP64(v);
    memcpy(o, &swapped, 8);
    return o + 8;
}
#else
static inline uint32_t le16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t le32(const uint8_t *p) { return le16(p) | le16(p + 2) << 16; }
static inline uint64_t le64(const uint8_t *p) { return (uint64_t)le32(p) | (uint64_t)le32(p + 4) << 32; }

static inline uint8_t *put16(uint8_t *o, uint32_t v)
{
    o[0] = (uint8_t)(v >> 8);
    o[1] = (uint8_t)v;
    return o + 2;
}

static inline uint8_t *put32(uint8_t *o, uint32_t v) { return put16(put16(o, v >> 16), v); }
static inline uint8_t *put64(uint8_t *o, uint64_t v) { return put32(put32(o, (uint32_t)(v >> 32)), (uint32_t)v); }
#endif

static inline uint32_t le24(const uint8_t *p) { return le16(p) | (uint32_t)p[2] << 16; }
static inline uint64_t le40(const uint8_t *p) { return (uint64_t)le32(p) | (uint64_t)p[4] << 32; }

static inline uint8_t *put_null(uint8_t *o) { return put32(o, 0xFFFFFFFFu); }
static inline uint8_t *put_field2(uint8_t *o, uint32_t v) { return put16(put32(o, 2), v); }
static inline uint8_t *put_field4(uint8_t *o, uint32_t v) { return put64(o, (uint64_t)4 << 32 | v); }
static inline uint8_t *put_field8(uint8_t *o, uint64_t v) { return put64(put32(o, 8), v); }

static inline uint8_t *put_bool(uint8_t *o, uint8_t v)
{
    o = put32(o, 1);
    *o = v != 0;
    return o + 1;
}

/* An integer of a wire type: tinyint is unsigned, the others are two's complement. */
static inline int64_t load_integer(const uint8_t *v, unsigned size)
{
    switch (size) {
    case 1:
        return v[0];
    case 2:
        return (int16_t)le16(v);
    case 4:
        return (int32_t)le32(v);
    default:
        return (int64_t)le64(v);
    }
}

/* --- numeric: int16 count of groups, weight of the first, sign (0x4000: minus), display scale, groups of base 10000 */

static const uint32_t tc_power10[5] = {1, 10, 100, 1000, 10000};

/* groups[0] is the least significant of `count`; `fraction` of them stand behind the decimal point. */
static inline uint8_t *put_groups(uint8_t *o, const uint16_t *groups, int count, int fraction, int minus, int scale)
{
    int low = 0;
    while (count > 0 && groups[count - 1] == 0)
        count--;
    if (count == 0) {
        o = put32(o, 8);
        o = put64(o, (uint64_t)(unsigned)scale);
        return o;
    }
    while (groups[low] == 0)
        low++;
    o = put32(o, (uint32_t)(8 + 2 * (count - low)));
    o = put16(o, (uint32_t)(count - low));
    o = put16(o, (uint32_t)(count - fraction - 1));
    o = put16(o, minus ? 0x4000 : 0);
    o = put16(o, (uint32_t)scale);
    while (count > low)
        o = put16(o, groups[--count]);
    return o;
}

static inline uint8_t *put_numeric64(uint8_t *o, uint64_t magnitude, int minus, int scale)
{
    uint16_t groups[8];
    int count = 0;
    int odd = scale & 3;
    if (odd) {
        groups[count++] = (uint16_t)(magnitude % tc_power10[odd] * tc_power10[4 - odd]);
        magnitude /= tc_power10[odd];
    }
    while (magnitude) {
        groups[count++] = (uint16_t)(magnitude % 10000);
        magnitude /= 10000;
    }
    return put_groups(o, groups, count, (scale + 3) / 4, minus, scale);
}

/* Divides the number of four 32-bit limbs (least significant first); returns the remainder. */
static inline uint32_t divide_limbs(uint32_t limbs[4], uint32_t divisor)
{
    uint64_t rest = 0;
    for (int i = 3; i >= 0; i--) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    return (uint32_t)rest;
}

static inline uint8_t *put_numeric128(uint8_t *o, uint32_t limbs[4], int minus, int scale)
{
    uint16_t groups[12];
    int count = 0;
    int odd = scale & 3;
    if (odd)
        groups[count++] = (uint16_t)(divide_limbs(limbs, tc_power10[odd]) * tc_power10[4 - odd]);
    while (limbs[3] | limbs[2]) {
        uint32_t pair = divide_limbs(limbs, 100000000);
        groups[count++] = (uint16_t)(pair % 10000);
        groups[count++] = (uint16_t)(pair / 10000);
    }
    for (uint64_t rest = (uint64_t)limbs[1] << 32 | limbs[0]; rest; rest /= 10000)
        groups[count++] = (uint16_t)(rest % 10000);
    return put_groups(o, groups, count, (scale + 3) / 4, minus, scale);
}

/* decimal and numeric: a sign byte (0 is minus), then 1 to 16 bytes of magnitude. */
static inline uint8_t *put_decimal(uint8_t *o, const uint8_t *v, unsigned size, int scale)
{
    int minus = v[0] == 0;
    uint8_t wide[16] = {0};
    uint32_t limbs[4];
    if (size == 5)
        return put_numeric64(o, le32(v + 1), minus, scale);
    if (size == 9)
        return put_numeric64(o, le64(v + 1), minus, scale);
    memcpy(wide, v + 1, size - 1);
    for (int i = 0; i < 4; i++)
        limbs[i] = le32(wide + 4 * i);
    if ((limbs[2] | limbs[3]) == 0)
        return put_numeric64(o, (uint64_t)limbs[1] << 32 | limbs[0], minus, scale);
    return put_numeric128(o, limbs, minus, scale);
}

static inline uint8_t *put_signed_numeric(uint8_t *o, int64_t v, int scale)
{
    return put_numeric64(o, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, scale);
}

/* money: the high half first, in ten-thousandths. */
static inline int64_t load_money(const uint8_t *v)
{
    return (int64_t)((uint64_t)le32(v) << 32 | le32(v + 4));
}

/* --- dates and times: PostgreSQL counts days and microseconds from 2000-01-01 */

#define TC_DAYS_TO_2000 730119   /* from 0001-01-01 */
#define TC_DAYS_1900_TO_2000 36524
#define TC_LAST_DAY 3652058      /* 9999-12-31, from 0001-01-01 */
#define TC_DAY_MICROS INT64_C(86400000000)

static const uint64_t tc_ticks_per_day[8] = {
    UINT64_C(86400),       UINT64_C(864000),        UINT64_C(8640000),         UINT64_C(86400000),
    UINT64_C(864000000),   UINT64_C(8640000000),    UINT64_C(86400000000),     UINT64_C(864000000000),
};
static const uint32_t tc_tick_micros[7] = {1000000, 100000, 10000, 1000, 100, 10, 1};

static inline unsigned time_size(int scale) { return scale <= 2 ? 3 : scale <= 4 ? 4 : 5; }

/* Microseconds since midnight, -1 when out of range. Scale 7 is cut, not rounded: 23:59:59.9999999 stays that day. */
static inline int64_t load_time(const uint8_t *v, int scale)
{
    uint64_t ticks = scale <= 2 ? le24(v) : scale <= 4 ? le32(v) : le40(v);
    if (ticks >= tc_ticks_per_day[scale])
        return -1;
    return scale == 7 ? (int64_t)(ticks / 10) : (int64_t)(ticks * tc_tick_micros[scale]);
}

static inline uint8_t *put_time(uint8_t *o, const uint8_t *v, int scale)
{
    int64_t micros = load_time(v, scale);
    return micros < 0 ? NULL : put_field8(o, (uint64_t)micros);
}

static inline uint8_t *put_date(uint8_t *o, const uint8_t *v)
{
    int32_t days = (int32_t)le24(v);
    return days > TC_LAST_DAY ? NULL : put_field4(o, (uint32_t)(days - TC_DAYS_TO_2000));
}

/* datetime2, and the first part of datetimeoffset, whose time is UTC. The range is checked before the offset, so a
 * value that UTC puts a few hours out of year 1 or 9999 cannot occur: SQL Server refuses it too. */
static inline uint8_t *put_datetime2(uint8_t *o, const uint8_t *v, int scale)
{
    int64_t micros = load_time(v, scale);
    int32_t days = (int32_t)le24(v + time_size(scale));
    if (micros < 0 || days > TC_LAST_DAY)
        return NULL;
    return put_field8(o, (uint64_t)((int64_t)(days - TC_DAYS_TO_2000) * TC_DAY_MICROS + micros));
}

/* datetime: days from 1900-01-01 (1753 to 9999) and 1/300 s, which SQL Server shows as .000, .003, .007. */
static inline uint8_t *put_datetime(uint8_t *o, const uint8_t *v)
{
    int32_t days = (int32_t)le32(v);
    uint32_t ticks = le32(v + 4);
    if (days < -53690 || days > TC_LAST_DAY - 693595 || ticks >= 25920000)
        return NULL;
    int64_t millis = ((int64_t)ticks * 10 + 1) / 3;
    return put_field8(o, (uint64_t)((int64_t)(days - TC_DAYS_1900_TO_2000) * TC_DAY_MICROS + millis * 1000));
}

/* smalldatetime: days from 1900-01-01 and minutes. */
static inline uint8_t *put_smalldatetime(uint8_t *o, const uint8_t *v)
{
    int32_t days = (int32_t)le16(v);
    uint32_t minutes = le16(v + 2);
    if (minutes >= 1440)
        return NULL;
    return put_field8(o, (uint64_t)((int64_t)(days - TC_DAYS_1900_TO_2000) * TC_DAY_MICROS +
                                    (int64_t)minutes * 60000000));
}

/* uniqueidentifier: the first three groups are little-endian. */
static inline uint8_t *put_uuid(uint8_t *o, const uint8_t *v)
{
    o = put32(o, 16);
    o = put32(o, le32(v));
    o = put16(o, le16(v + 4));
    o = put16(o, le16(v + 6));
    memcpy(o, v + 8, 8);
    return o + 8;
}

static inline uint8_t *put_float_as_double(uint8_t *o, const uint8_t *v)
{
    uint32_t bits = le32(v);
    float narrow;
    double wide;
    uint64_t out;
    memcpy(&narrow, &bits, 4);
    wide = narrow;
    memcpy(&out, &wide, 8);
    return put_field8(o, out);
}

#endif
