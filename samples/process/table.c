/* The shared object of cut.c: a table far above 4 GB, and a fill that faults on what is no address. */
static char table[4096];
int table_calls;
void *table_new(unsigned long size) { table_calls++; return size <= sizeof table ? table : 0; }
void *fill(void *at, int value, unsigned long size)
{
    char *place = at;
    while (size-- > 0)
        *place++ = value;
    return at;
}
