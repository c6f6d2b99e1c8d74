/* A handler of a signal calls through a null pointer: frames on both sides of the signal's own. */
#include "start.h"
static void (*volatile callback)(int);
volatile int sink;
__attribute__((noinline)) static void notify(int signal) { callback(signal); sink = signal; }
static void on_signal(int signal) { notify(signal); sink = 2; }
extern void __restore_rt(void);
__asm__(".globl __restore_rt\n.type __restore_rt,@function\n.balign 16\nnop\n__restore_rt:\nmov $15,%rax\nsyscall\n.size __restore_rt,.-__restore_rt\n");
__attribute__((noinline)) static long wait_here(long pid) { return call(62, pid, 10, 0, 0) + sink; } /* kill */
int main(void)
{
    struct { void (*handler)(int); unsigned long flags; void (*restorer)(void); unsigned long mask; } action = {
        on_signal, 0x04000000, __restore_rt, 0 }; /* SA_RESTORER */
    call(13, 10, (long)&action, 0, 8); /* rt_sigaction */
    return wait_here(call(39, 0, 0, 0, 0)) & 1; /* getpid */
}
