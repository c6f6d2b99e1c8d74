/* A pointer cut to 32 bits: table_new() has no declaration here, so its result counts as an int (sign-extended). */
#include "start.h"
struct realm { long used; char name[24]; };
int opened;
extern void *fill();
int open_internal(const char *path, int depth)
{
    struct realm *realm = (struct realm *)table_new(sizeof *realm);
    opened += depth;
    fill(realm, 0, sizeof *realm);
    return realm->used + path[0];
}
int open_file(const char *path) { return open_internal(path, 1) + 1; }
int main(int argc, char **argv) { return open_file(argv[argc - 1]) + 2; }
