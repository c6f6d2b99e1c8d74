/* Three threads; one calls abort(). With libc, which is not kept here: only what the core itself tells is tested. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static void *rest(void *argument) { for (;;) pause(); return argument; }
__attribute__((noinline)) static void give_up(int reason) { if (reason) abort(); }
static void *work(void *argument) { usleep(200000); give_up(7); return argument; }
int main(void)
{
    pthread_t one, two;
    pthread_create(&one, 0, rest, 0);
    pthread_create(&two, 0, work, 0);
    pthread_join(two, 0);
    return 0;
}
