/* A stack smashed: copy() writes zeros past a local, over the saved frame pointer and the return address. */
#include "start.h"
int copied;
__attribute__((noinline)) static void copy(char *to, const char *from, int count)
{
    for (int at = 0; at < count; at++)
        ((volatile char *)to)[at] = from[at];
    copied = count;
}
static const char zeros[64];
__attribute__((noinline)) int parse(int size)
{
    char name[8];
    copy(name, zeros, size);
    return name[0];
}
__attribute__((noinline)) int handle(int kind) { return parse(16 + kind * (int)sizeof(long)) + kind; }
__attribute__((noinline)) int serve(int round) { return handle(round) + round; }
int main(int argc, char **argv) { return serve(argc) + argv[0][0]; }
