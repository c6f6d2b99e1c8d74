#!/bin/sh
# The files beside this one: sample.c as a program with DWARF 5 and 4, packed, and as a relocatable file. Debian 12, gcc 12.2.
set -e
cd "$(dirname "$0")"
flags="-O1 -fno-pie -fno-asynchronous-unwind-tables -fdebug-prefix-map=$PWD=/src -ffreestanding -fno-stack-protector"
link="-nostdlib -static -no-pie -Wl,--build-id=sha1 -Wl,-z,noseparate-code"
gcc -gdwarf-5 $flags $link -o dwarf5.elf sample.c
gcc -gdwarf-4 $flags $link -o dwarf4.elf sample.c
gcc -gdwarf-5 $flags -gz=zlib $link -o packed.elf sample.c
gcc -gdwarf-5 $flags -ffunction-sections -c -o relocatable.o sample.c
