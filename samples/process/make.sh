#!/bin/sh
# Make the programs and their cores in the folder WORK: see README.md.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?usage: make.sh WORK}
mkdir -p "$work" && cd "$work" || exit 1
ulimit -c unlimited
ulimit -s 256
common="-w -g0 -nostdlib -fno-stack-protector -fcf-protection=none -fno-optimize-sibling-calls"
framed="$common -O1 -fno-omit-frame-pointer"
bare="$common -O2 -fomit-frame-pointer"
share="-shared -fPIC"

gcc $framed -O0 $share "$here/table.c" -o libtable.so.1 -Wl,-soname,libtable.so.1
gcc $framed -O0 "$here/cut.c" -o cut ./libtable.so.1 -Wl,-rpath,'$ORIGIN'
gcc $bare $share "$here/each.c" -o libeach.so.1 -Wl,-soname,libeach.so.1
gcc $bare "$here/bare.c" -o bare ./libeach.so.1 -Wl,-rpath,'$ORIGIN'
gcc $bare -m32 $share "$here/each.c" -o libeach32.so.1 -Wl,-soname,libeach32.so.1
gcc $bare -m32 "$here/bare.c" -o bare32 ./libeach32.so.1 -Wl,-rpath,'$ORIGIN'
gcc $framed -static "$here/smash.c" -o smash
gcc $framed -static -m32 "$here/smash.c" -o smash32
gcc $bare -O1 "$here/handler.c" -o handler -static-pie
gcc -w -O2 -fno-optimize-sibling-calls "$here/threads.c" -o threads -pthread

die() # NAME FILTER PROGRAM ARGUMENT...: the core of a program that dies
{
    name=$1 filter=$2
    shift 2
    (echo "$filter" >/proc/self/coredump_filter && exec env -i "$@") 2>/dev/null
    mv core "$name.core"
}
die cut 0x33 ./cut some argument
die bare 0x33 ./bare
die bare32 0x33 ./bare32
die smash 0x33 ./smash a b
die smash32 0x33 ./smash32 a b
die handler 0x33 ./handler
die whole 0x37 ./handler
die threads 0x33 ./threads
env -i /usr/bin/gdb -nx -batch -ex 'set startup-with-shell off' -ex 'break wait_here' -ex run -ex 'generate-core-file gcore.core' ./handler >/dev/null 2>&1

arm="-w -g0 -nostdlib -fno-stack-protector -fno-optimize-sibling-calls -static"
aarch64-linux-gnu-gcc $arm -O1 -fno-omit-frame-pointer "$here/smash.c" -o smash-arm
aarch64-linux-gnu-gcc $arm -O1 -fomit-frame-pointer "$here/bare.c" "$here/each.c" -o bare-arm
for name in smash-arm bare-arm; do # qemu writes the core of the program it runs; the kernel one of qemu
    env -i /usr/bin/qemu-aarch64 -s 262144 ./$name a b 2>/dev/null
    mv qemu_$name*.core $name.core
    rm -f core
done
