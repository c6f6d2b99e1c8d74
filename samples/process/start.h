/* The entry of a program without libc: calls main and leaves. Its callers end here: no return address is told. */
#if defined(__x86_64__)
__asm__(".globl _start\n.type _start,@function\n_start:\n.cfi_startproc\n.cfi_undefined rip\nxor %ebp,%ebp\nmov (%rsp),%rdi\n"
        "lea 8(%rsp),%rsi\nand $-16,%rsp\ncall main\nmov %eax,%edi\nmov $231,%eax\nsyscall\n.cfi_endproc\n"
        ".size _start,.-_start\n");
static long call(long number, long one, long two, long three, long four)
{
    long result;
    register long r10 __asm__("r10") = four;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(one), "S"(two), "d"(three), "r"(r10) : "rcx", "r11", "memory");
    return result;
}
#elif defined(__i386__)
__asm__(".globl _start\n.type _start,@function\n_start:\n.cfi_startproc\n.cfi_undefined eip\nxor %ebp,%ebp\nmov (%esp),%eax\n"
        "lea 4(%esp),%ecx\nand $-16,%esp\nsub $8,%esp\npush %ecx\npush %eax\ncall main\nmov %eax,%ebx\nmov $252,%eax\nint $0x80\n"
        ".cfi_endproc\n.size _start,.-_start\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n.type _start,%function\n_start:\n.cfi_startproc\n.cfi_undefined x30\nmov x29,xzr\nldr x0,[sp]\n"
        "add x1,sp,#8\nbl main\nmov x8,#94\nsvc #0\n.cfi_endproc\n.size _start,.-_start\n");
#endif
