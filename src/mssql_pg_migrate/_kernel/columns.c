#include "columns.h"

#include <string.h>

#include "values.h"

/* Type numbers of [MS-TDS] 2.2.5.4. */
enum {
    T_INT1 = 0x30,
    T_BIT = 0x32,
    T_INT2 = 0x34,
    T_INT4 = 0x38,
    T_DATETIM4 = 0x3A,
    T_FLT4 = 0x3B,
    T_MONEY = 0x3C,
    T_DATETIME = 0x3D,
    T_FLT8 = 0x3E,
    T_MONEY4 = 0x7A,
    T_INT8 = 0x7F,
    T_GUID = 0x24,
    T_INTN = 0x26,
    T_DATEN = 0x28,
    T_TIMEN = 0x29,
    T_DATETIME2N = 0x2A,
    T_DATETIMEOFFSETN = 0x2B,
    T_BITN = 0x68,
    T_DECIMALN = 0x6A,
    T_NUMERICN = 0x6C,
    T_FLTN = 0x6D,
    T_MONEYN = 0x6E,
    T_DATETIMN = 0x6F,
    T_BIGVARBIN = 0xA5,
    T_BIGVARCHR = 0xA7,
    T_BIGBINARY = 0xAD,
    T_BIGCHAR = 0xAF,
    T_NVARCHAR = 0xE7,
    T_NCHAR = 0xEF,
    T_IMAGE = 0x22,
    T_TEXT = 0x23,
    T_NTEXT = 0x63,
    T_XML = 0xF1,
    T_JSON = 0xF4,
    T_VECTOR = 0xF5
};

#define MAX_DECLARED 0xFFFF

static const char wrong_encoding[] = "its type does not become the wanted PostgreSQL type without a conversion";
static const char wrong_length[] = "its declared length does not exist for its type";

static const char *set(column *c, int framing, int conversion, unsigned size)
{
    c->framing = (uint8_t)framing;
    c->conversion = (uint8_t)conversion;
    c->size = (uint8_t)size;
    return NULL;
}

static const char *integer(column *c, int framing, unsigned size, int encoding)
{
    static const struct {
        uint8_t size, same, wider;
    } targets[] = {[TC_INT2] = {2, CV_SWAP2, CV_WIDEN2}, [TC_INT4] = {4, CV_SWAP4, CV_WIDEN4},
                   [TC_INT8] = {8, CV_SWAP8, CV_WIDEN8}};
    if (size != 1 && size != 2 && size != 4 && size != 8)
        return wrong_length;
    if (encoding == TC_NUMERIC)
        return set(c, framing, CV_INT_NUMERIC, size);
    if (encoding < TC_INT2 || encoding > TC_INT8 || size > targets[encoding].size)
        return wrong_encoding;
    return set(c, framing, size == targets[encoding].size ? targets[encoding].same : targets[encoding].wider, size);
}

static const char *floating(column *c, int framing, unsigned size, int encoding)
{
    if (size != 4 && size != 8)
        return wrong_length;
    if (size == 4 && encoding == TC_FLOAT4)
        return set(c, framing, CV_SWAP4, 4);
    if (size == 4 && encoding == TC_FLOAT8)
        return set(c, framing, CV_DOUBLE, 4);
    if (size == 8 && encoding == TC_FLOAT8)
        return set(c, framing, CV_SWAP8, 8);
    return wrong_encoding;
}

/* A type with one encoding; `size` 8 and 4 choose between the long and the short form of money and datetime. */
static const char *only(column *c, int framing, unsigned size, int encoding, int wanted, int eight, int four)
{
    if (size != 8 && size != 4)
        return wrong_length;
    if (encoding != wanted)
        return wrong_encoding;
    return set(c, framing, size == 8 ? eight : four, size);
}

static const char *scaled_time(column *c, const tc_spec *s)
{
    unsigned size;
    if (s->scale > 7)
        return "its scale is over 7";
    size = time_size(s->scale);
    if (s->type_id == T_TIMEN)
        return s->encoding == TC_TIME ? set(c, FR_BYTE, CV_TIME, size) : wrong_encoding;
    if (s->type_id == T_DATETIME2N)
        return s->encoding == TC_TIMESTAMP ? set(c, FR_BYTE, CV_DATETIME2, size + 3) : wrong_encoding;
    return s->encoding == TC_TIMESTAMPTZ ? set(c, FR_BYTE, CV_DATETIME2, size + 5) : wrong_encoding;
}

static const char *bytes(column *c, const tc_spec *s)
{
    int framing = s->type_id == T_IMAGE ? FR_LOB : FR_SHORT;
    if (s->encoding != TC_BYTEA)
        return wrong_encoding;
    if (s->type_id == T_BIGVARBIN && s->length == MAX_DECLARED)
        framing = FR_PLP;
    return set(c, framing, CV_BYTES, 0);
}

static const char *text(column *c, const tc_spec *s)
{
    int framing = FR_SHORT;
    if (s->encoding != TC_TEXT)
        return wrong_encoding;
    if (s->type_id == T_XML || s->type_id == T_JSON)
        framing = FR_PLP;
    else if (s->type_id == T_TEXT || s->type_id == T_NTEXT)
        framing = FR_LOB;
    else if (s->length == MAX_DECLARED && (s->type_id == T_BIGVARCHR || s->type_id == T_NVARCHAR))
        framing = FR_PLP;
    switch (s->type_id) {
    case T_NVARCHAR:
    case T_NCHAR:
    case T_NTEXT:
    case T_XML:
        c->convert = tx_utf16;
        break;
    case T_JSON:
        c->convert = tx_utf8;
        break;
    default:
        c->page = tx_code_page(s->code_page);
        c->convert = c->page ? tx_single : tx_utf8;
        if (!c->page && s->code_page != 65001)
            return "its code page is not one of those known here";
    }
    return set(c, framing, CV_TEXT, 0);
}

static const char *compile_other(column *c, const tc_spec *s)
{
    switch (s->type_id) {
    case T_DECIMALN:
    case T_NUMERICN:
        if (s->scale > 38)
            return "its scale is over 38";
        return s->encoding == TC_NUMERIC ? set(c, FR_BYTE, CV_DECIMAL, 0) : wrong_encoding;
    case T_GUID:
        return s->encoding == TC_UUID ? set(c, FR_BYTE, CV_UUID, 16) : wrong_encoding;
    case T_DATEN:
        return s->encoding == TC_DATE ? set(c, FR_BYTE, CV_DATE, 3) : wrong_encoding;
    case T_TIMEN:
    case T_DATETIME2N:
    case T_DATETIMEOFFSETN:
        return scaled_time(c, s);
    case T_BIGVARBIN:
    case T_BIGBINARY:
    case T_IMAGE:
        return bytes(c, s);
    case T_VECTOR: /* scale is the type of its values: 0 is float32, the only one in [MS-TDS] 2.2.5.5.7.4 */
        return s->encoding == TC_VECTOR && !s->scale ? set(c, FR_SHORT, CV_VECTOR, 0) : wrong_encoding;
    case T_BIGVARCHR:
    case T_BIGCHAR:
    case T_NVARCHAR:
    case T_NCHAR:
    case T_TEXT:
    case T_NTEXT:
    case T_XML:
    case T_JSON:
        return text(c, s);
    default:
        return "its type on the wire is not one of those known here";
    }
}

static const char *compile(column *c, const tc_spec *s)
{
    switch (s->type_id) {
    case T_BIT:
        return s->encoding == TC_BOOL ? set(c, FR_FIXED, CV_BOOL, 1) : wrong_encoding;
    case T_BITN:
        return s->encoding == TC_BOOL ? set(c, FR_BYTE, CV_BOOL, 1) : wrong_encoding;
    case T_INT1:
        return integer(c, FR_FIXED, 1, s->encoding);
    case T_INT2:
        return integer(c, FR_FIXED, 2, s->encoding);
    case T_INT4:
        return integer(c, FR_FIXED, 4, s->encoding);
    case T_INT8:
        return integer(c, FR_FIXED, 8, s->encoding);
    case T_INTN:
        return integer(c, FR_BYTE, s->length, s->encoding);
    case T_FLT4:
        return floating(c, FR_FIXED, 4, s->encoding);
    case T_FLT8:
        return floating(c, FR_FIXED, 8, s->encoding);
    case T_FLTN:
        return floating(c, FR_BYTE, s->length, s->encoding);
    case T_MONEY:
        return only(c, FR_FIXED, 8, s->encoding, TC_NUMERIC, CV_MONEY, CV_SMALLMONEY);
    case T_MONEY4:
        return only(c, FR_FIXED, 4, s->encoding, TC_NUMERIC, CV_MONEY, CV_SMALLMONEY);
    case T_MONEYN:
        return only(c, FR_BYTE, s->length, s->encoding, TC_NUMERIC, CV_MONEY, CV_SMALLMONEY);
    case T_DATETIME:
        return only(c, FR_FIXED, 8, s->encoding, TC_TIMESTAMP, CV_DATETIME, CV_SMALLDATETIME);
    case T_DATETIM4:
        return only(c, FR_FIXED, 4, s->encoding, TC_TIMESTAMP, CV_DATETIME, CV_SMALLDATETIME);
    case T_DATETIMN:
        return only(c, FR_BYTE, s->length, s->encoding, TC_TIMESTAMP, CV_DATETIME, CV_SMALLDATETIME);
    default:
        return compile_other(c, s);
    }
}

const char *column_compile(column *c, const tc_spec *s)
{
    const char *why = wrong_encoding;
    tc_spec any = *s;
    memset(c, 0, sizeof *c);
    c->scale = s->scale;
    c->null_size = 4;
    if (s->encoding != TC_NONE)
        return compile(c, s);
    /* Whatever the type can become tells how it is framed. */
    for (int encoding = 0; why && encoding < TC_NONE; encoding++) {
        any.encoding = (uint8_t)encoding;
        why = compile(c, &any);
        if (why != wrong_encoding)
            break;
    }
    if (!why && c->framing > FR_SHORT)
        why = "a (max), text, image or xml column is only ever read as a field";
    c->conversion = CV_NONE;
    c->null_size = 0;
    return why;
}
