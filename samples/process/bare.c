/* Without frame pointers: only .eh_frame tells where the callers are. */
#include "start.h"
extern int each(const int *values, int count, int (*tell)(const int *));
volatile int sink;
struct node { struct node *next; int value; };
__attribute__((noinline)) int sum(struct node *node)
{
    int total = 0, spare[40];
    for (int at = 0; at < 40; at++)
        spare[at] = at + sink;
    while (1) {
        total += node->value + spare[total & 7];
        sink = total;
        node = node->next;
    }
}
__attribute__((noinline)) int tell(const int *value) { return sum((struct node *)(long)(*value + 0x1000)) + sink; }
__attribute__((noinline)) int order(const int *values, int count) { return each(values, count, tell) + sink; }
int main(int argc, char **argv)
{
    int values[] = {argc, 1, 2};
    return order(values, 3) + argv[0][0];
}
