/* A transcoder as its caller sees it: made for columns of a format, run, its tuples and keys taken, freed. */
#include "transcode.h"

#include <stdlib.h>

#include "core.h"
#include "formats.h"
#include "input.h"
#include "values.h"

/* Tails of tokens and values that must stand in one piece are at most 2 + 65535 bytes. */
#define MIN_INPUT ((size_t)1 << 17)

uint64_t tc_rows(const tc *t) { return t->rows; }

/* Bytes of whole tuples: those of a row not yet complete do not count. */
size_t tc_bytes(const tc *t) { return t->phase == PH_TOKEN ? t->out_len : t->row_start; }

uint8_t *tc_take(tc *t, size_t *size)
{
    uint8_t *memory = t->out;
    *size = t->out_len;
    if (t->phase != PH_TOKEN || t->rows == 0)
        return NULL;
    t->out = NULL;
    t->out_len = t->out_cap = t->row_start = 0;
    t->rows = 0;
    t->mark_count = 0;
    return memory;
}

const uint64_t *tc_marks(const tc *t, size_t *count)
{
    *count = t->mark_count;
    return t->marks;
}

int tc_lend(tc *t, uint8_t *memory, size_t capacity)
{
    if (t->out)
        return 0;
    t->out = memory;
    t->out_cap = capacity;
    return 1;
}

const tc_fault *tc_last_fault(const tc *t) { return &t->fault; }
int tc_key_count(const tc *t) { return t->key_count; }
const tc_key *tc_key_at(const tc *t, int position) { return &t->keys[position]; }

static const char *bind_key(tc *t, column *c, const tc_spec *spec)
{
    tc_key *key;
    if (spec->key < 0)
        return NULL;
    if (spec->key >= t->key_count || t->keys[spec->key].data)
        return "its place in the key is taken or beyond the key";
    if (c->framing > FR_SHORT)
        return "a (max), text, image or xml column cannot be part of a key";
    key = &t->keys[spec->key];
    key->capacity = c->framing == FR_SHORT ? 65535 : 255;
    key->data = malloc(key->capacity);
    c->key = key;
    return key->data ? NULL : "no memory";
}

static const char *set_up(tc *t, const tc_spec *specs, size_t input_size, int *at)
{
    size_t count = (size_t)t->count;
    for (int i = 0; i < t->count; i++)
        t->key_count += specs[i].key >= 0;
    t->in_cap = input_size < MIN_INPUT ? MIN_INPUT : input_size;
    t->nulls_size = (count + 7) / 8;
    t->row_room = 2 + count * TC_MAX_SMALL + 4;
    t->columns = calloc(count, sizeof *t->columns);
    t->keys = calloc((size_t)t->key_count + 1, sizeof *t->keys);
    t->nulls = calloc(t->nulls_size, 1);
    t->in = malloc(t->in_cap);
    if (!t->columns || !t->keys || !t->nulls || !t->in)
        return "no memory";
    for (int i = 0; i < t->count; i++) {
        const char *why = t->format->compile(&t->columns[i], &specs[i]);
        if (!why)
            why = bind_key(t, &t->columns[i], &specs[i]);
        if (why) {
            *at = i;
            return why;
        }
        t->fields += t->columns[i].conversion != CV_NONE;
    }
    return NULL;
}

static tc *make(const row_format *format, const tc_spec *specs, int count, int strip_nul, size_t input_size,
                const char **why, int *at)
{
    tc *t;
    *at = -1;
    *why = "a result has 1 to 4096 columns";
    if (count < 1 || count > 4096)
        return NULL;
    t = calloc(1, sizeof *t);
    *why = "no memory";
    if (!t)
        return NULL;
    t->count = count;
    t->format = format;
    t->text.strip_nul = strip_nul;
    *why = set_up(t, specs, input_size, at);
    if (*why) {
        tc_free(t);
        return NULL;
    }
    return t;
}

tc *tc_new(const tc_spec *specs, int count, int strip_nul, size_t input_size, const char **why, int *at)
{
    return make(&tds_format, specs, count, strip_nul, input_size, why, at);
}

tc *tc_new_bcp(const tc_spec *specs, int count, int strip_nul, size_t input_size, const char **why, int *at)
{
    return make(&bcp_format, specs, count, strip_nul, input_size, why, at);
}

int tc_run(tc *t, uint64_t max_rows, size_t max_bytes)
{
    while (!t->stopped) {
        int status = t->format->rows(t, max_rows, max_bytes);
        if (status != TC_INPUT)
            return status;
        status = input_extend(t);
        if (status == TC_END && (t->phase != PH_TOKEN || t->pos != t->lim))
            return malformed(t, TC_F_TRUNCATED, t->lim - t->pos);
        if (status != TC_CHUNK)
            return status;
    }
    return t->stopped;
}

void tc_free(tc *t)
{
    if (!t)
        return;
    for (int i = 0; t->keys && i < t->key_count; i++)
        free(t->keys[i].data);
    free(t->columns);
    free(t->keys);
    free(t->nulls);
    free(t->in);
    free(t->out);
    free(t->marks);
    free(t);
}
