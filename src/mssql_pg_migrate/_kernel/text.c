#include "text.h"

#include <string.h>

#include "codepages.h"
#include "transcode.h"

/* TC_PORTABLE leaves out all that depends on the processor, to test the rest. */
#if defined(TC_PORTABLE)
#elif defined(__SSE2__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 2)
#define TX_SSE2 1
#include <emmintrin.h>
#elif (defined(__ARM_NEON) && defined(__aarch64__) && !defined(__ARM_BIG_ENDIAN)) || defined(_M_ARM64)
#define TX_NEON 1
#include <arm_neon.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

static inline void report(tx_fault *fault, int code, uint64_t detail)
{
    if (fault->code == 0) {
        fault->code = code;
        fault->detail = detail;
    }
}

#if TX_SSE2
static inline unsigned first_bit(unsigned mask)
{
#if defined(_MSC_VER)
    unsigned long index;
    _BitScanForward(&index, mask);
    return (unsigned)index;
#else
    return (unsigned)__builtin_ctz(mask);
#endif
}
#endif

/* --- ASCII runs. Each copies blocks of 16 characters of U+0001-U+007F until a block holds another one, of which it
 * copies what comes before that. Returns the characters copied. NUL ends a run too. */

static inline size_t ascii_run16(const uint8_t *src, size_t units, uint8_t *out)
{
    size_t i = 0;
#if TX_SSE2
    const __m128i zero = _mm_setzero_si128();
    while (units - i >= 16) {
        __m128i low = _mm_loadu_si128((const __m128i *)(src + 2 * i));
        __m128i high = _mm_loadu_si128((const __m128i *)(src + 2 * i + 16));
        /* Saturation makes units of 0x80-0x7FFF bytes with the top bit set, and those from 0x8000 on zero. */
        __m128i packed = _mm_packus_epi16(low, high);
        unsigned odd = (unsigned)_mm_movemask_epi8(_mm_or_si128(packed, _mm_cmpeq_epi8(packed, zero)));
        _mm_storeu_si128((__m128i *)(out + i), packed);
        if (odd)
            return i + first_bit(odd);
        i += 16;
    }
#elif TX_NEON
    while (units - i >= 16) {
        int16x8_t low = vreinterpretq_s16_u8(vld1q_u8(src + 2 * i));
        int16x8_t high = vreinterpretq_s16_u8(vld1q_u8(src + 2 * i + 16));
        uint8x16_t packed = vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
        uint8x16_t odd = vorrq_u8(vcgeq_u8(packed, vdupq_n_u8(0x80)), vceqq_u8(packed, vdupq_n_u8(0)));
        if (vmaxvq_u8(odd))
            break;
        vst1q_u8(out + i, packed);
        i += 16;
    }
#endif
    for (; i < units; i++) {
        unsigned unit = (unsigned)src[2 * i] | (unsigned)src[2 * i + 1] << 8;
        if (unit - 1 >= 0x7F)
            break;
        out[i] = (uint8_t)unit;
    }
    return i;
}

static inline size_t ascii_run8(const uint8_t *src, size_t n, uint8_t *out)
{
    size_t i = 0;
#if TX_SSE2
    const __m128i zero = _mm_setzero_si128();
    while (n - i >= 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(src + i));
        unsigned odd = (unsigned)_mm_movemask_epi8(_mm_or_si128(block, _mm_cmpeq_epi8(block, zero)));
        _mm_storeu_si128((__m128i *)(out + i), block);
        if (odd)
            return i + first_bit(odd);
        i += 16;
    }
#else
    while (n - i >= 8) {
        uint64_t block;
        memcpy(&block, src + i, 8);
        if ((block | (block - 0x0101010101010101u)) & 0x8080808080808080u)
            break;
        memcpy(out + i, &block, 8);
        i += 8;
    }
#endif
    for (; i < n; i++) {
        if ((unsigned)src[i] - 1 >= 0x7F)
            break;
        out[i] = src[i];
    }
    return i;
}

static inline uint8_t *put_unit(uint8_t *o, unsigned unit)
{
    if (unit < 0x80) {
        *o++ = (uint8_t)unit;
    } else if (unit < 0x800) {
        *o++ = (uint8_t)(0xC0 | unit >> 6);
        *o++ = (uint8_t)(0x80 | (unit & 0x3F));
    } else {
        *o++ = (uint8_t)(0xE0 | unit >> 12);
        *o++ = (uint8_t)(0x80 | (unit >> 6 & 0x3F));
        *o++ = (uint8_t)(0x80 | (unit & 0x3F));
    }
    return o;
}

static inline uint8_t *put_nul(uint8_t *o, const tx_options *options, tx_fault *fault)
{
    if (options->strip_nul)
        return o;
    report(fault, TC_F_NUL, 0);
    *o++ = '?';
    return o;
}

static inline unsigned unit_at(const uint8_t *src, size_t index)
{
    return (unsigned)src[2 * index] | (unsigned)src[2 * index + 1] << 8;
}

size_t tx_utf16(const uint8_t *src, size_t n, uint8_t **out, const tx_options *options, int final, tx_fault *fault)
{
    const size_t units = n / 2;
    uint8_t *o = *out;
    size_t i = 0;
    while (i < units) {
        size_t run = ascii_run16(src + 2 * i, units - i, o);
        i += run;
        o += run;
        /* Then all that is not ASCII, and single blanks and the like between. */
        for (; i < units; i++) {
            unsigned unit = unit_at(src, i);
            if (unit - 1 < 0x7F) {
                if (i + 1 < units && unit_at(src, i + 1) - 1 < 0x7F)
                    break;
                *o++ = (uint8_t)unit;
            } else if (unit == 0) {
                o = put_nul(o, options, fault);
            } else if (unit - 0xD800 >= 0x800) {
                o = put_unit(o, unit);
            } else if (unit < 0xDC00 && i + 1 == units && !final) {
                goto done;
            } else {
                unsigned next = unit < 0xDC00 && i + 1 < units ? unit_at(src, i + 1) : 0;
                if (next - 0xDC00 >= 0x400) {
                    report(fault, TC_F_SURROGATE, unit);
                    *o++ = '?';
                    continue;
                }
                unsigned point = 0x10000 + ((unit - 0xD800) << 10) + (next - 0xDC00);
                *o++ = (uint8_t)(0xF0 | point >> 18);
                *o++ = (uint8_t)(0x80 | (point >> 12 & 0x3F));
                *o++ = (uint8_t)(0x80 | (point >> 6 & 0x3F));
                *o++ = (uint8_t)(0x80 | (point & 0x3F));
                i++;
            }
        }
    }
done:
    *out = o;
    return 2 * i;
}

/* Length of the well-formed sequence that begins at src (n >= 1, first byte >= 0x80): 0 when it is none,
 * -1 when it may become one with bytes still to come. Unicode standard, table 3-7. */
static int utf8_sequence(const uint8_t *src, size_t n)
{
    unsigned lead = src[0];
    unsigned low = 0x80, high = 0xBF;
    int size;
    if (lead < 0xC2)
        return 0;
    if (lead < 0xE0) {
        size = 2;
    } else if (lead < 0xF0) {
        size = 3;
        if (lead == 0xE0)
            low = 0xA0;
        else if (lead == 0xED)
            high = 0x9F;
    } else if (lead < 0xF5) {
        size = 4;
        if (lead == 0xF0)
            low = 0x90;
        else if (lead == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    for (int i = 1; i < size; i++) {
        if ((size_t)i >= n)
            return -1;
        if (src[i] < low || src[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return size;
}

size_t tx_utf8(const uint8_t *src, size_t n, uint8_t **out, const tx_options *options, int final, tx_fault *fault)
{
    uint8_t *o = *out;
    size_t i = 0;
    while (i < n) {
        size_t run = ascii_run8(src + i, n - i, o);
        i += run;
        o += run;
        while (i < n && (src[i] >= 0x80 || src[i] == 0)) {
            if (src[i] == 0) {
                o = put_nul(o, options, fault);
                i++;
                continue;
            }
            int size = utf8_sequence(src + i, n - i);
            if (size < 0 && !final)
                goto done;
            if (size <= 0) {
                report(fault, TC_F_UTF8, src[i]);
                *o++ = '?';
                i++;
                continue;
            }
            for (int k = 0; k < size; k++)
                *o++ = src[i++];
        }
    }
done:
    *out = o;
    return i;
}

size_t tx_single(const uint8_t *src, size_t n, uint8_t **out, const tx_options *options, int final, tx_fault *fault)
{
    uint8_t *o = *out;
    size_t i = 0;
    (void)final;
    while (i < n) {
        size_t run = ascii_run8(src + i, n - i, o);
        i += run;
        o += run;
        while (i < n && (src[i] >= 0x80 || src[i] == 0)) {
            unsigned byte = src[i++];
            if (byte == 0) {
                o = put_nul(o, options, fault);
                continue;
            }
            unsigned unit = options->page[byte - 0x80];
            if (unit == 0xFFFF) {
                report(fault, TC_F_UNMAPPED, byte);
                unit = '?';
            }
            o = put_unit(o, unit);
        }
    }
    *out = o;
    return i;
}

const uint16_t *tx_code_page(unsigned number)
{
    for (size_t i = 0; i < sizeof code_pages / sizeof code_pages[0]; i++)
        if (code_pages[i].number == number)
            return code_pages[i].units;
    return NULL;
}
