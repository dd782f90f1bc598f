/* The output buffer, which grows as rows come. */
#ifndef MSSQL_PG_MIGRATE_OUTPUT_H
#define MSSQL_PG_MIGRATE_OUTPUT_H

#include <stdlib.h>

#include "core.h"

#define FIRST_OUTPUT ((size_t)1 << 16)

/* Kept out of the row loops, which have the registers for themselves then. */
#if defined(_MSC_VER)
#define RARE __declspec(noinline)
#else
#define RARE __attribute__((noinline))
#endif

RARE static int output_grow(tc *t, size_t room)
{
    size_t cap = t->out_cap + t->out_cap / 2;
    uint8_t *grown;
    if (cap < FIRST_OUTPUT)
        cap = FIRST_OUTPUT;
    if (cap < t->out_len + room)
        cap = t->out_len + room;
    grown = realloc(t->out, cap);
    if (!grown)
        return 0;
    t->out = grown;
    t->out_cap = cap;
    return 1;
}

/* Have at least `room` free bytes; 0 when there is no memory. */
static inline int reserve(tc *t, size_t room) { return t->out_cap - t->out_len >= room || output_grow(t, room); }

#endif
