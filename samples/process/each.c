/* The shared object of bare.c: calls back, without frame pointers. */
int each(const int *values, int count, int (*tell)(const int *))
{
    int total = 0, seen[6] = {0};
    for (int at = 0; at < count; at++) {
        total += tell(values + at);
        ((volatile int *)seen)[at % 6] = total;
    }
    return total + seen[count % 6];
}
