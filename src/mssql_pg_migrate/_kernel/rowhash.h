/* A 128-bit hash of a row's bytes, for sums over millions of rows.
 *
 * The bytes are the coefficients of a polynomial (little-endian words of 64 bits, the last one filled up with zeros,
 * then the length in bytes), which is evaluated at the secret point r modulo the prime p = 2^127 - 1. Two different
 * rows of up to n words agree for at most n + 1 of the p choices of r: about 2^-120 for a row of a kilobyte, 2^-90
 * for the largest that PostgreSQL holds. That value is linear in the row, so that two rows could make up for each
 * other's change in a sum; three Feistel rounds with the mixing function of MurmurHash3 follow.
 *
 * r and the keys of the rounds are drawn anew for every comparison.
 */
#ifndef MSSQL_PG_MIGRATE_ROWHASH_H
#define MSSQL_PG_MIGRATE_ROWHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && defined(_M_X64)
#include <intrin.h>
#endif

#define RH_KEY_BYTES 40 /* r (16 bytes, little-endian, below p), then three words of 64 bits */
#define RH_BLOCK 32
#define RH_WORD_MASK63 (UINT64_MAX >> 1)

typedef struct {
    uint64_t power[4][2]; /* r^1 to r^4: low, high */
    uint64_t round[3];
} rh_key;

typedef struct {
    uint64_t h[2]; /* at most 2^127: reduced lazily */
    uint64_t length;
    size_t filled;
    uint8_t block[RH_BLOCK];
} rh_state;

static inline uint64_t rh_load(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

/* For compilers and machines without a product of 128 bits. */
static inline uint64_t rh_multiply_portable(uint64_t a, uint64_t b, uint64_t *high)
{
    uint64_t low = (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
    uint64_t cross = (a >> 32) * (b & 0xFFFFFFFFu) + (low >> 32);
    uint64_t other = (a & 0xFFFFFFFFu) * (b >> 32) + (cross & 0xFFFFFFFFu);
    *high = (a >> 32) * (b >> 32) + (cross >> 32) + (other >> 32);
    return other << 32 | (low & 0xFFFFFFFFu);
}

static inline uint64_t rh_multiply(uint64_t a, uint64_t b, uint64_t *high)
{
#if defined(__SIZEOF_INT128__)
    unsigned __int128 product = (unsigned __int128)a * b;
    *high = (uint64_t)(product >> 64);
    return (uint64_t)product;
#elif defined(_MSC_VER) && defined(_M_X64)
    return _umul128(a, b, high);
#else
    return rh_multiply_portable(a, b, high);
#endif
}

/* Four columns of 64 bits; carry[i] counts what column i owes to column i + 1. */
typedef struct {
    uint64_t column[4];
    uint64_t carry[3];
} rh_sum;

static inline void rh_add_at(rh_sum *s, int i, uint64_t v)
{
    s->column[i] += v;
    s->carry[i] += s->column[i] < v;
}

/* s += word * factor */
static inline void rh_add_product(rh_sum *s, uint64_t word, const uint64_t factor[2])
{
    uint64_t high;
    rh_add_at(s, 0, rh_multiply(word, factor[0], &high));
    rh_add_at(s, 1, high);
    rh_add_at(s, 1, rh_multiply(word, factor[1], &high));
    rh_add_at(s, 2, high);
}

/* s += h * factor, where h is at most 2^127 and the factor below it: the product is below 2^254 */
static inline void rh_add_wide(rh_sum *s, const uint64_t h[2], const uint64_t factor[2])
{
    uint64_t high;
    rh_add_product(s, h[0], factor);
    rh_add_at(s, 1, rh_multiply(h[1], factor[0], &high));
    rh_add_at(s, 2, high);
    rh_add_at(s, 2, rh_multiply(h[1], factor[1], &high));
    s->column[3] += high; /* the whole sum is below 2^255 */
}

/* h = s modulo p, left at most 2^127; s is below 2^254 + 2^200 */
static inline void rh_fold(rh_sum *s, uint64_t h[2])
{
    uint64_t low, high, top;
    for (int i = 0; i < 3; i++) {
        uint64_t carry = s->carry[i];
        s->column[i + 1] += carry;
        if (i < 2)
            s->carry[i + 1] += s->column[i + 1] < carry;
    }
    /* the bits from 127 on come back at bit 0, for 2^127 is 1 */
    low = s->column[0] + (s->column[1] >> 63 | s->column[2] << 1);
    high = (s->column[1] & RH_WORD_MASK63) + (s->column[2] >> 63 | s->column[3] << 1) + (low < s->column[0]);
    top = high >> 63;
    low += top;
    h[0] = low;
    h[1] = (high & RH_WORD_MASK63) + (low < top);
}

static inline void rh_multiply_mod(const uint64_t a[2], const uint64_t b[2], uint64_t out[2])
{
    rh_sum s = {{0}, {0}};
    rh_add_wide(&s, a, b);
    rh_fold(&s, out);
    if (out[1] >> 63) { /* exactly 2^127 */
        out[0] = 1;
        out[1] = 0;
    }
}

static inline void rh_prepare(rh_key *k, const uint8_t key[RH_KEY_BYTES])
{
    k->power[0][0] = rh_load(key);
    k->power[0][1] = rh_load(key + 8) & RH_WORD_MASK63;
    for (int i = 1; i < 4; i++)
        rh_multiply_mod(k->power[i - 1], k->power[0], k->power[i]);
    for (int i = 0; i < 3; i++)
        k->round[i] = rh_load(key + 16 + 8 * i);
}

static inline void rh_begin(rh_state *s)
{
    s->h[0] = s->h[1] = 0;
    s->length = 0;
    s->filled = 0;
}

static inline void rh_blocks(rh_state *s, const rh_key *k, const uint8_t *data, size_t blocks)
{
    uint64_t h[2] = {s->h[0], s->h[1]};
    for (; blocks; blocks--, data += RH_BLOCK) {
        rh_sum sum = {{rh_load(data + 24)}, {0}};
        rh_add_product(&sum, rh_load(data + 16), k->power[0]);
        rh_add_product(&sum, rh_load(data + 8), k->power[1]);
        rh_add_product(&sum, rh_load(data), k->power[2]);
        rh_add_wide(&sum, h, k->power[3]);
        rh_fold(&sum, h);
    }
    s->h[0] = h[0];
    s->h[1] = h[1];
}

static inline void rh_word(rh_state *s, const rh_key *k, uint64_t word)
{
    rh_sum sum = {{word}, {0}};
    rh_add_wide(&sum, s->h, k->power[0]);
    rh_fold(&sum, s->h);
}

static inline void rh_add(rh_state *s, const rh_key *k, const uint8_t *data, size_t size)
{
    s->length += size;
    if (s->filled) {
        size_t room = RH_BLOCK - s->filled;
        size_t part = size < room ? size : room;
        if (part)
            memcpy(s->block + s->filled, data, part);
        s->filled += part;
        data += part;
        size -= part;
        if (s->filled < RH_BLOCK)
            return;
        rh_blocks(s, k, s->block, 1);
        s->filled = 0;
    }
    rh_blocks(s, k, data, size / RH_BLOCK);
    s->filled = size % RH_BLOCK;
    if (s->filled)
        memcpy(s->block, data + (size - s->filled), s->filled);
}

/* fmix64 of MurmurHash3 (Austin Appleby, public domain) */
static inline uint64_t rh_mix(uint64_t v)
{
    v ^= v >> 33;
    v *= UINT64_C(0xff51afd7ed558ccd);
    v ^= v >> 33;
    v *= UINT64_C(0xc4ceb9fe1a85ec53);
    return v ^ v >> 33;
}

static inline void rh_finish(rh_state *s, const rh_key *k, uint64_t out[2])
{
    uint64_t low, high;
    if (s->filled) {
        size_t words = (s->filled + 7) / 8;
        memset(s->block + s->filled, 0, RH_BLOCK - s->filled);
        for (size_t i = 0; i < words; i++)
            rh_word(s, k, rh_load(s->block + 8 * i));
    }
    rh_word(s, k, s->length);
    low = s->h[0];
    high = s->h[1];
    if (high >> 63) { /* 2^127 is 1 */
        low = 1;
        high = 0;
    } else if (high == RH_WORD_MASK63 && low == UINT64_MAX) { /* p is 0 */
        low = high = 0;
    }
    low ^= rh_mix(high + k->round[0]);
    high ^= rh_mix(low + k->round[1]);
    low ^= rh_mix(high + k->round[2]);
    out[0] = low;
    out[1] = high;
}

#endif
