/* From a column's TYPE_INFO and wanted encoding to the way its values are framed and converted. */
#ifndef MSSQL_PG_MIGRATE_COLUMNS_H
#define MSSQL_PG_MIGRATE_COLUMNS_H

#include "transcode.h"

/* How a value is delimited in a row. */
enum framing {
    FR_FIXED, /* no prefix */
    FR_BYTE,  /* 1-byte length, 0 is NULL */
    FR_SHORT, /* 2-byte length, 0xFFFF is NULL */
    FR_PLP,   /* 8-byte total or unknown or NULL, then chunks with 4-byte lengths, 0 ends */
    FR_LOB,   /* text pointer, time stamp, 4-byte length; an empty pointer is NULL */
    FR_CHARS, /* BCP: `length` bytes, no prefix */
    FR_LONG4, /* BCP: 4-byte length, -1 is NULL */
    FR_LONG8  /* BCP: 8-byte length, -1 is NULL */
};

/* How its bytes become a COPY field. */
enum conversion {
    CV_BOOL,
    CV_SWAP2,
    CV_SWAP4,
    CV_SWAP8,
    CV_WIDEN2,
    CV_WIDEN4,
    CV_WIDEN8,
    CV_INT_NUMERIC,
    CV_DECIMAL,
    CV_MONEY,
    CV_SMALLMONEY,
    CV_DOUBLE,
    CV_UUID,
    CV_DATE,
    CV_TIME,
    CV_DATETIME2,
    CV_DATETIME,
    CV_SMALLDATETIME,
    CV_TEXT,
    CV_BYTES,
    CV_VECTOR,
    CV_MARKED, /* bytes that the caller replaces */
    CV_NONE
};

typedef struct {
    uint8_t framing;
    uint8_t conversion;
    uint8_t size; /* bytes of a value; 0 when they vary */
    uint8_t scale;
    uint8_t null_size; /* 4, the bytes of a NULL field, or 0 when there is no field */
    uint8_t nullable;  /* BCP: the value may be NULL */
    uint8_t exact;     /* BCP: a value is never shorter than `length` */
    uint32_t length;   /* BCP: the most bytes of a value, all of them for FR_CHARS */
    tx_convert convert;
    const uint16_t *page;
    tc_key *key; /* where the key's values are kept, NULL for other columns */
} column;

/* NULL on success, else the reason why this column cannot be served. `key` is left alone. */
const char *column_compile(column *out, const tc_spec *spec);

#endif
