#!/bin/sh
# Build a part of the C code with AddressSanitizer and UndefinedBehaviorSanitizer and feed it damaged data: "transcode"
# (the default) streams of TDS rows, "bcp" BCP data files, "digest" COPY data.
# FUZZ_SECONDS (default 30) bounds the run, FUZZ_SEED repeats one, FUZZ_FLAGS are further compiler flags (-DTC_PORTABLE
# leaves out what depends on the processor). With CC=clang, FUZZ_ENGINE=libfuzzer uses libFuzzer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
kernel="$here/../src/mssql_pg_migrate/_kernel"
case "${1:-transcode}" in
transcode | bcp)
    parts="transcode tds bcp input stream columns text"
    longest=20000
    ;;
digest)
    parts=digest
    longest=8000
    ;;
*)
    echo "usage: $0 [transcode|bcp|digest]" >&2
    exit 2
    ;;
esac
sources="$here/fuzz_${1:-transcode}.c"
for part in $parts; do
    sources="$sources $kernel/$part.c"
done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c11 -g -O1 -Wall -Wextra -fno-omit-frame-pointer -I$kernel ${FUZZ_FLAGS:-}"
seconds=${FUZZ_SECONDS:-30}
export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
if [ "${FUZZ_ENGINE:-}" = libfuzzer ]; then
    # shellcheck disable=SC2086
    ${CC:-clang} $flags -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $sources -o "$out/fuzz"
    exec "$out/fuzz" -max_total_time="$seconds" -max_len="$longest" ${FUZZ_SEED:+-seed=$FUZZ_SEED}
fi
# shellcheck disable=SC2086
${CC:-gcc} $flags -DSTANDALONE -fsanitize=address,undefined -fno-sanitize-recover=all $sources -o "$out/fuzz"
"$out/fuzz" "$seconds" ${FUZZ_SEED:+"$FUZZ_SEED"}
