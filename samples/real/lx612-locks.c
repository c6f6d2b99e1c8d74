/*
 * What the guest of lx612-locks.elf did: processes that hold a lock each, and others that wait for it.
 * Static, run by the guest's init before the dump; /mnt/ext is an ext2 file system on a loop device.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/loop.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[99];
static struct stat status;

/* In a child of that name. */
#define AS(name) if (fork() == 0 && (prctl(PR_SET_NAME, name), 1))

/* A program that returns 7. */
static void bpf(void)
{
	struct bpf_insn program[] = { { .code = 0xb7, .imm = 7 }, { .code = 0x95 } };
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2, .insns = (uintptr_t)program,
				.license = (uintptr_t)"GPL", .prog_name = "kdbpf" };
	if (syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load) < 0)
		perror("bpf");
}

/* A FUSE file system that nobody serves: the first to make a directory waits with the rwsem of its parent. */
static void rwsem(void)
{
	mkdir("/mnt/f", 0755);
	snprintf(text, sizeof text, "fd=%d,rootmode=40000,user_id=0,group_id=0", open("/dev/fuse", O_RDWR));
	if (mount("kd", "/mnt/f", "fuse", 0, text))
		perror("fuse");
	AS("kl-rw-owner") { mkdir("/mnt/f/one", 0755); pause(); }
	sleep(1);
	AS("kl-rw-write") { mkdir("/mnt/f/two", 0755); pause(); }
	sleep(1);
	AS("kl-rw-read") { stat("/mnt/f/three", &status); pause(); }
}

/* A writer whose page nobody brings waits with the mutex of the pipe. */
static void mutex(void)
{
	int ends[2];
	pipe(ends);
	AS("kl-mx-owner") {
		struct uffdio_api api = { .api = UFFD_API };
		int faults = syscall(SYS_userfaultfd, 0);
		char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct uffdio_register range = { .range = { (uintptr_t)page, 8192 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
		ioctl(faults, UFFDIO_API, &api);
		if (ioctl(faults, UFFDIO_REGISTER, &range))
			perror("userfaultfd");
		write(ends[1], page, 100);
		pause();
	}
	sleep(1);
	AS("kl-mx-one") { write(ends[1], "x", 1); pause(); }
	sleep(1);
	AS("kl-mx-two") { read(ends[0], text, 1); pause(); }
}

/* A futex that passes priorities on, owned by a sleeper. */
static void rt_mutex(void)
{
	int *futex = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	AS("kl-pi-owner") { *futex = syscall(SYS_gettid); pause(); }
	sleep(1);
	AS("kl-pi-wait") { syscall(SYS_futex, futex, FUTEX_LOCK_PI, 0, NULL, 0, 0); pause(); }
}

/* A loop device on a frozen file system: its work waits in a worker of a work queue. */
static void work(void)
{
	int file = open("/mnt/ext/img", O_RDWR | O_CREAT, 0600);
	void *block;
	ftruncate(file, 400 << 10);
	snprintf(text, sizeof text, "/dev/loop%d", ioctl(open("/dev/loop-control", O_RDWR), LOOP_CTL_GET_FREE));
	if (ioctl(open(text, O_RDWR), LOOP_SET_FD, file))
		perror("loop");
	if (ioctl(open("/mnt/ext", O_RDONLY), FIFREEZE, 0))
		perror("freeze");
	posix_memalign(&block, 4096, 4096);
	AS("kl-wq-user") { write(open(text, O_RDWR | O_DIRECT), block, 4096); pause(); }
	AS("kl-frozen") { write(file, "x", 1); pause(); }
}

int main(void)
{
	bpf();
	rwsem();
	mutex();
	rt_mutex();
	work();
	prctl(PR_SET_NAME, "kl-main");
	pause();
}
