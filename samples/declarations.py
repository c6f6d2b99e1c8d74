"""The structures of the kernel that the builder fills, as C declares them, each with the header that it comes from.

Members, their types and their order are those of illumos in 2021; where a structure is long (proc, user, zone,
    vnode),
the members that no debugger looks at are left out, so that what follows lies elsewhere than in a real kernel. That is
deliberate: a dump's CTF says where a member lies, and nothing else may.

What has to lie as in a real kernel, because it is needed before there are types (debug_info, modctl, struct module)
or is not the kernel's to choose (Xen's shared page, saved registers, ELF), is complete; `FIXED` names it.
"""

from __future__ import annotations

FIXED = frozenset(
    {
        "modctl", "module", "Ehdr", "Shdr", "debug_info", "utsname", "regs",
        "shared_info", "arch_shared_info", "vcpu_info", "arch_vcpu_info", "vcpu_time_info",
        # the first members of these are those of a smaller one, which stands for either
        "kmem_bufctl", "kmem_bufctl_audit", "vmem_seg", "vmem_freelist", "list_node", "list",
    }
)  # fmt: skip
"""Structures whose members stay in their order in an image of "another build"."""

BASE = """
# sys/int_types.h, sys/types.h
typedef signed char int8_t; typedef unsigned char uint8_t; typedef short int16_t; typedef unsigned short uint16_t;
typedef int int32_t; typedef unsigned int uint32_t; typedef long long int64_t; typedef unsigned long long uint64_t;
typedef unsigned char uchar_t; typedef unsigned short ushort_t; typedef unsigned int uint_t; typedef unsigned long
    ulong_t;
typedef unsigned long size_t; typedef long ssize_t; typedef unsigned long uintptr_t; typedef long intptr_t;
typedef char *caddr_t; typedef long clock_t; typedef long time_t; typedef long long hrtime_t; typedef short pri_t;
typedef int id_t; typedef int pid_t; typedef unsigned int uid_t; typedef unsigned int gid_t; typedef int zoneid_t;
typedef int projid_t; typedef int taskid_t; typedef int processorid_t; typedef unsigned long pfn_t;
typedef unsigned long pgcnt_t; typedef unsigned int mode_t; typedef enum boolean { B_FALSE, B_TRUE } boolean_t;
typedef uint64_t x86pte_t; typedef uint64_t paddr_t; typedef unsigned char lock_t; typedef unsigned char disp_lock_t;
typedef uintptr_t pc_t; typedef unsigned long kt_did_t; typedef unsigned int symid_t; typedef uint16_t cpu_flag_t;
typedef struct k_sigset { uint32_t __sigbits[3]; } k_sigset_t;
typedef struct timespec { time_t tv_sec; long tv_nsec; } timespec_t;
typedef timespec_t timestruc_t;
# sys/mutex.h, sys/rwlock.h, sys/condvar.h
typedef struct mutex { void *_opaque[1]; } kmutex_t;
typedef struct _krwlock { void *_opaque[1]; } krwlock_t;
typedef struct _kcondvar { ushort_t _opaque; } kcondvar_t;
# sys/avl_impl.h, sys/list_impl.h
%(avl_node)s
typedef struct avl_node avl_node_t;
struct avl_tree { struct avl_node *avl_root; int (*avl_compar)(const void *, const void *); size_t avl_offset;
    ulong_t avl_numnodes; size_t avl_size; };
typedef struct avl_tree avl_tree_t;
typedef struct list_node { struct list_node *list_next; struct list_node *list_prev; } list_node_t;
typedef struct list { size_t list_size; size_t list_offset; struct list_node list_head; } list_t;
"""

AVL_NODE = {
    64: "struct avl_node { struct avl_node *avl_child[2]; uintptr_t avl_pcb; };",
    32: """struct avl_node { struct avl_node *avl_child[2]; struct avl_node *avl_parent;
    unsigned short avl_child_index; short avl_balance; };""",
}
"""In 64-bit kernels parent, child index and balance share a word (sys/avl_impl.h)."""

THREADS = """
# sys/regset.h (label_t), sys/t_lock.h, sys/sobject.h, sys/thread.h
typedef struct _label_t { long val[%(label)s]; } label_t;
typedef enum { SOBJ_NONE, SOBJ_MUTEX, SOBJ_RWLOCK, SOBJ_CV, SOBJ_SEMA, SOBJ_USER, SOBJ_USER_PI, SOBJ_SHUTTLE }
    syncobj_t;
struct _kthread; struct cpu; struct proc; struct _klwp; struct kproject; struct as; struct hat; struct vnode;
typedef struct _sobj_ops { int sobj_type; struct _kthread *(*sobj_owner)(void *);
    void (*sobj_unsleep)(struct _kthread *); void (*sobj_change_pri)(struct _kthread *, pri_t, pri_t *); } sobj_ops_t;
typedef struct lwpchan { caddr_t lc_wchan0; caddr_t lc_wchan; } lwpchan_t;
typedef struct turnstile { struct turnstile *ts_next; struct turnstile *ts_free; void *ts_sobj; int ts_waiters;
    pri_t ts_epri; } turnstile_t;
typedef struct _kthread {
    struct _kthread *t_link; caddr_t t_stk; void (*t_startpc)(void); struct cpu *t_bound_cpu; short t_affinitycnt;
    short t_bind_cpu; uint_t t_flag; ushort_t t_proc_flag; ushort_t t_schedflag; volatile char t_preempt;
    uint_t t_state; pri_t t_pri; pri_t t_epri; pri_t t_cpri; char t_writer; uchar_t t_bindflag; label_t t_pcb;
    lwpchan_t t_lwpchan; sobj_ops_t *t_sobj_ops; id_t t_cid; void *t_clfuncs; void *t_cldata; void *t_ctx;
    uintptr_t t_lofault; label_t *t_onfault; void *t_ontrap; caddr_t t_swap; lock_t t_lock; uint8_t t_lockstat;
    uint8_t t_pil; disp_lock_t t_pi_lock; char t_nomigrate; struct cpu *t_cpu; struct cpu *t_weakbound_cpu;
    void *t_lpl; void *t_lgrp_reserv[2]; struct _kthread *t_intr; uint64_t t_intr_start; kt_did_t t_did; id_t t_tid;
    id_t t_waitfor; void *t_sigqueue; k_sigset_t t_sig; k_sigset_t t_extsig; k_sigset_t t_hold; k_sigset_t
    t_sigwait; struct _kthread *t_forw; struct _kthread *t_back; struct _kthread *t_thlink;
    struct _klwp *t_lwp; struct proc *t_procp; struct _kthread *t_next; struct _kthread *t_prev; ushort_t t_whystop;
    ushort_t t_whatstop; int t_dslot; struct cred *t_cred; time_t t_start; clock_t t_lbolt; hrtime_t t_stoptime;
    uint_t t_pctcpu; short t_sysnum; kcondvar_t t_delay_cv; kmutex_t t_delay_lock; disp_lock_t *t_lockp;
    ushort_t t_oldspl; volatile char t_pre_sys; void *t_disp_queue; clock_t t_disp_time; hrtime_t t_waitrq;
    int t_mstate; turnstile_t *t_prioinv; turnstile_t *t_ts; clock_t t_stime; void *t_schedctl; void *t_cpupart;
    int t_bind_pset; caddr_t t_stkbase; struct _kthread *t_priforw; struct _kthread *t_priback; void *t_sleepq;
    struct kproject *t_proj; void *t_taskq; hrtime_t t_anttime; uint_t t_predcache; hrtime_t t_hrtime;
    kmutex_t t_ctx_lock; void *t_waitq; kmutex_t t_wait_mutex; char *t_name; uint64_t t_unsafe;
} kthread_t;
# sys/sleepq.h
typedef struct sleepq { struct _kthread *sq_first; } sleepq_t;
typedef struct _sleepq_head { sleepq_t sq_queue; disp_lock_t sq_lock; } sleepq_head_t;
# sys/klwp.h
typedef struct _klwp { uintptr_t lwp_oldcontext; int lwp_errno; char lwp_error; char lwp_eosys; long lwp_arg[8];
    void *lwp_regs; void *lwp_fpu; uchar_t lwp_cursig; uchar_t lwp_asleep; char lwp_state; struct _kthread
    *lwp_thread;
    struct proc *lwp_procp; uintptr_t lwp_ustack; } klwp_t;
# sys/privregs.h
typedef long greg_t;
%(regs)s
# sys/disp.h
typedef struct dispq { kthread_t *dq_first; kthread_t *dq_last; int dq_sruncnt; } dispq_t;
typedef struct _disp { disp_lock_t disp_lock; pri_t disp_npri; dispq_t *disp_q; dispq_t *disp_q_limit;
    ulong_t *disp_qactmap; pri_t disp_maxrunpri; pri_t disp_max_unbound_pri; volatile int disp_nrunnable;
    struct cpu *disp_cpu; hrtime_t disp_steal; } disp_t;
# sys/cpuvar.h, sys/machcpuvar.h
struct machcpu { uint32_t xc_wait_cnt; volatile uint32_t xc_work_cnt; int mcpu_pri; struct hat *mcpu_current_hat;
    struct vcpu_info *mcpu_vcpu_info; uint64_t mcpu_gdtpa; uint16_t mcpu_intr_pending; };
typedef struct cpu {
    processorid_t cpu_id; processorid_t cpu_seqid; volatile cpu_flag_t cpu_flags; struct cpu *cpu_self;
    kthread_t *cpu_thread; kthread_t *cpu_idle_thread; kthread_t *cpu_pause_thread; klwp_t *cpu_lwp; klwp_t
    *cpu_fpowner;
    void *cpu_part; void *cpu_lpl; int cpu_cache_offset; struct cpu *cpu_next; struct cpu *cpu_prev;
    struct cpu *cpu_next_onln; struct cpu *cpu_prev_onln; struct cpu *cpu_next_part; struct cpu *cpu_prev_part;
    disp_t *cpu_disp; char cpu_runrun; char cpu_kprunrun; pri_t cpu_chosen_level; kthread_t *cpu_dispthread;
    disp_lock_t cpu_thread_lock; uint8_t cpu_disp_flags; pri_t cpu_dispatch_pri; clock_t cpu_last_swtch;
    caddr_t cpu_intr_stack; kthread_t *cpu_intr_thread; uint_t cpu_intr_actv; int cpu_base_spl;
    clock_t cpu_deadman_counter; uint_t cpu_deadman_countdown; time_t cpu_state_begin; void *cpu_cyclic;
    hrtime_t cpu_intracct[3]; char *cpu_idstr; char *cpu_brandstr; volatile uint_t cpu_generation;
    struct machcpu cpu_m; } cpu_t;
typedef struct cpuset { ulong_t cpub[%(cpuset)s]; } cpuset_t;
"""

REGS = {
    64: """struct regs { greg_t r_savfp; greg_t r_savpc; greg_t r_rdi; greg_t r_rsi; greg_t r_rdx; greg_t r_rcx;
    greg_t r_r8; greg_t r_r9; greg_t r_rax; greg_t r_rbx; greg_t r_rbp; greg_t r_r10; greg_t r_r11; greg_t r_r12;
    greg_t r_r13; greg_t r_r14; greg_t r_r15; greg_t __r_fsbase; greg_t __r_gsbase; greg_t r_ds; greg_t r_es;
    greg_t r_fs; greg_t r_gs; greg_t r_trapno; greg_t r_err; greg_t r_rip; greg_t r_cs; greg_t r_rfl; greg_t r_rsp;
    greg_t r_ss; };""",
    32: """struct regs { greg_t r_savfp; greg_t r_savpc; greg_t r_gs; greg_t r_fs; greg_t r_es; greg_t r_ds; greg_t
    r_edi;
    greg_t r_esi; greg_t r_ebp; greg_t r_esp; greg_t r_ebx; greg_t r_edx; greg_t r_ecx; greg_t r_eax; greg_t r_trapno;
    greg_t r_err; greg_t r_eip; greg_t r_cs; greg_t r_efl; greg_t r_uesp; greg_t r_ss; };""",
}

PROCESSES = """
# sys/cred_impl.h, sys/task.h, sys/project.h, sys/zone.h, sys/session.h, sys/refstr_impl.h
struct zone;
typedef struct cred { uint_t cr_ref; uid_t cr_uid; gid_t cr_gid; uid_t cr_ruid; gid_t cr_rgid; uid_t cr_suid;
    gid_t cr_sgid; projid_t cr_projid; struct zone *cr_zone; } cred_t;
typedef struct kproject { projid_t kpj_id; zoneid_t kpj_zoneid; struct zone *kpj_zone; uint_t kpj_count;
    uint32_t kpj_shares; struct kproject *kpj_prev; struct kproject *kpj_next; } kproject_t;
typedef struct task { taskid_t tk_tkid; uint_t tk_flags; struct kproject *tk_proj; uint_t tk_hold_count;
    struct proc *tk_memb_list; struct zone *tk_zone; struct task *tk_commit_next; } task_t;
typedef struct zone { char *zone_name; char *zone_nodename; char *zone_domain; list_node_t zone_linkage; zoneid_t
    zone_id;
    uint_t zone_ref; uint_t zone_cred_ref; char *zone_rootpath; ushort_t zone_flags; int zone_status;
    struct proc *zone_zsched; } zone_t;
struct pid { unsigned int pid_prinactive:1, pid_pgorphaned:1, pid_padding:6, pid_prslot:24; pid_t pid_id;
    struct proc *pid_pglink; struct proc *pid_pgtail; struct pid *pid_link; uint_t pid_ref; };
typedef struct sess { struct pid *s_sidp; kmutex_t s_lock; uint_t s_ref; boolean_t s_sighuped; int s_cnt;
    struct vnode *s_vp; cred_t *s_cred; } sess_t;
# sys/user.h
typedef struct user { void *u_execsw; timestruc_t u_start; clock_t u_ticks; char u_comm[17]; char u_psargs[80];
    int u_argc; uintptr_t u_argv; uintptr_t u_envp; struct vnode *u_cdir; struct vnode *u_rdir; mode_t u_cmask; }
    user_t;
# sys/proc.h
typedef struct proc {
    struct vnode *p_exec; struct as *p_as; void *p_lockp; kmutex_t p_crlock; cred_t *p_cred; int p_swapcnt; char
    p_stat;
    char p_wcode; ushort_t p_pidflag; int p_wdata; pid_t p_ppid; struct proc *p_link; struct proc *p_parent;
    struct proc *p_child; struct proc *p_sibling; struct proc *p_psibling; struct proc *p_sibling_ns;
    struct proc *p_child_ns; struct proc *p_next; struct proc *p_prev; struct proc *p_nextofkin; struct proc
    *p_orphan;
    struct proc *p_nextorph; struct proc *p_pglink; struct proc *p_ppglink; struct sess *p_sessp; struct pid *p_pidp;
    struct pid *p_pgidp; kcondvar_t p_cv; uint_t p_proc_flag; uint_t p_flag; clock_t p_utime; clock_t p_stime;
    caddr_t p_bssbase; caddr_t p_brkbase; size_t p_brksize; id_t p_lwpid; int p_lwpcnt; int p_lwprcnt; int p_zombcnt;
    kthread_t *p_tlist; kthread_t *p_agenttp; size_t p_stksize; hrtime_t p_mstart; caddr_t p_usrstack;
    unsigned int p_model; struct task *p_task; struct proc *p_taskprev; struct proc *p_tasknext; void *p_rctls;
    void *p_pool; struct zone *p_zone; struct vnode *p_execdir; size_t p_swrss; struct user p_user; } proc_t;
union procent_union { struct proc *pe_proc; union procent_union *pe_next; };
typedef union procent_union procent_t;
"""

VM = """
# vm/hat_pte.h, vm/hat_i86.h, vm/htable.h
struct htable;
struct hat_mmu_info { x86pte_t pt_nx; x86pte_t pt_global; pfn_t highest_pfn; uint_t num_level; uint_t max_level;
    uint_t max_page_level; uint_t umax_page_level; uint_t ptes_per_table; uint_t top_level_count; uint_t pae_hat;
    uintptr_t hole_start; uintptr_t hole_end; uint_t pte_size; uint_t pte_size_shift; x86pte_t ptp_bits[4];
    x86pte_t pte_bits[4]; uint_t hash_cnt; uint_t level_shift[4]; uintptr_t level_size[4]; uintptr_t level_offset[4];
    uintptr_t level_mask[4]; };
typedef struct hat { kmutex_t hat_mutex; struct as *hat_as; uint_t hat_stats; pgcnt_t hat_pages_mapped[3];
    pgcnt_t hat_ism_pgcnt; cpuset_t hat_cpus; uint16_t hat_flags; uint8_t hat_max_level; uint_t hat_num_copied;
    struct htable *hat_htable; struct hat *hat_next;
    struct hat *hat_prev; uint_t hat_num_hash; struct htable **hat_ht_hash; struct htable *hat_ht_cached;
    pfn_t hat_user_ptable; } hat_t;
typedef struct htable { struct htable *ht_next; struct hat *ht_hat; uintptr_t ht_vaddr; int8_t ht_level;
    uint8_t ht_flags; int16_t ht_busy; int16_t ht_valid_cnt; uint32_t ht_lock_cnt; pfn_t ht_pfn; struct htable
    *ht_prev;
    struct htable *ht_parent; struct htable *ht_shares; } htable_t;
# vm/as.h, vm/seg.h, vm/page.h, sys/memnode.h, vm/seg_vn.h
typedef struct as { kmutex_t a_contents; uchar_t a_flags; uchar_t a_vbits; kcondvar_t a_cv; struct hat *a_hat;
    void *a_hrm; caddr_t a_userlimit; struct seg *a_seglast; krwlock_t a_lock; size_t a_size; struct seg *a_lastgap;
    struct seg *a_lastgaphl; avl_tree_t a_segtree; avl_tree_t a_wpage; uchar_t a_updatedir; timespec_t a_updatetime;
    struct vnode **a_objectdir; size_t a_sizedir; void *a_callbacks; struct proc *a_proc; size_t a_resvsize; } as_t;
struct seg_ops { int (*dup)(struct seg *, struct seg *); int (*unmap)(struct seg *, caddr_t, size_t); };
typedef struct seg { caddr_t s_base; size_t s_size; uint_t s_szc; uint_t s_flags; struct as *s_as; avl_node_t s_tree;
    struct seg_ops *s_ops; void *s_data; kmutex_t s_pmtx; } seg_t;
typedef struct page { uint64_t p_offset; struct vnode *p_vnode; uint_t p_selock; uint_t p_vpmref; struct page *p_hash;
    struct page *p_vpnext; struct page *p_vpprev; struct page *p_next; struct page *p_prev; ushort_t p_lckcnt;
    ushort_t p_cowcnt; kcondvar_t p_cv; kcondvar_t p_io_cv; uchar_t p_iolock_state; volatile uchar_t p_szc;
    uchar_t p_fsdata; uchar_t p_state; pfn_t p_pagenum; } page_t;
struct memseg { page_t *pages; page_t *epages; pfn_t pages_base; pfn_t pages_end; struct memseg *next;
    struct memseg *lnext; uint_t msegflags; };
typedef struct vnode { kmutex_t v_lock; uint_t v_flag; uint_t v_count; void *v_data; int v_type; void *v_op;
    struct page *v_pages; char *v_path; } vnode_t;
"""

KMEM = """
# sys/kmem_impl.h, sys/vmem_impl_user.h, sys/kstat.h
struct kmem_cache; struct kmem_slab; struct vmem;
typedef struct kmem_bufctl { struct kmem_bufctl *bc_next; void *bc_addr; struct kmem_slab *bc_slab; } kmem_bufctl_t;
typedef struct kmem_bufctl_audit { struct kmem_bufctl *bc_next; void *bc_addr; struct kmem_slab *bc_slab;
    struct kmem_cache *bc_cache; hrtime_t bc_timestamp; kthread_t *bc_thread; struct kmem_bufctl *bc_lastlog;
    void *bc_contents; int bc_depth; pc_t bc_stack[15]; } kmem_bufctl_audit_t;
typedef struct kmem_buftag { uint64_t bt_redzone; kmem_bufctl_t *bt_bufctl; intptr_t bt_bxstat; } kmem_buftag_t;
typedef struct kmem_slab { struct kmem_cache *slab_cache; void *slab_base; avl_node_t slab_link;
    struct kmem_bufctl *slab_head; long slab_refcnt; long slab_chunks; uint32_t slab_stuck_offset;
    uint16_t slab_later_count; uint16_t slab_flags; } kmem_slab_t;
typedef struct kmem_magazine { void *mag_next; void *mag_round[1]; } kmem_magazine_t;
typedef struct kmem_magtype { short mt_magsize; int mt_align; size_t mt_minbuf; size_t mt_maxbuf;
    struct kmem_cache *mt_cache; } kmem_magtype_t;
typedef struct kmem_maglist { kmem_magazine_t *ml_list; long ml_total; long ml_min; long ml_reaplimit;
    uint64_t ml_alloc; } kmem_maglist_t;
typedef struct kmem_cpu_cache { kmutex_t cc_lock; uint64_t cc_alloc; uint64_t cc_free; kmem_magazine_t *cc_loaded;
    kmem_magazine_t *cc_ploaded; int cc_flags; short cc_rounds; short cc_prounds; short cc_magsize;
    short cc_dump_rounds; short cc_dump_prounds; char cc_pad[%(cc_pad)s]; } kmem_cpu_cache_t;
typedef struct kmem_cache { uint64_t cache_slab_create; uint64_t cache_slab_destroy; uint64_t cache_slab_alloc;
    uint64_t cache_slab_free; uint64_t cache_alloc_fail; uint64_t cache_buftotal; uint64_t cache_bufmax;
    uint64_t cache_bufslab; uint64_t cache_reap; uint64_t cache_rescale; uint64_t cache_lookup_depth;
    uint64_t cache_depot_contention; uint64_t cache_depot_contention_prev; char cache_name[32]; size_t cache_bufsize;
    size_t cache_align; int (*cache_constructor)(void *, void *, int); void (*cache_destructor)(void *, void *);
    void (*cache_reclaim)(void *); void *cache_private; struct vmem *cache_arena; int cache_cflags; int cache_flags;
    uint32_t cache_mtbf; uint32_t cache_pad1; void *cache_kstat; list_node_t cache_link; kmutex_t cache_lock;
    size_t cache_chunksize; size_t cache_slabsize; size_t cache_maxchunks; size_t cache_bufctl; size_t cache_buftag;
    size_t cache_verify; size_t cache_contents; size_t cache_color; size_t cache_mincolor; size_t cache_maxcolor;
    size_t cache_hash_shift; size_t cache_hash_mask; list_t cache_complete_slabs; size_t cache_complete_slab_count;
    avl_tree_t cache_partial_slabs; size_t cache_partial_binshift; struct kmem_cache *cache_bufctl_cache;
    kmem_bufctl_t **cache_hash_table; void *cache_defrag; kmutex_t cache_depot_lock; kmem_magtype_t *cache_magtype;
    kmem_maglist_t cache_full; kmem_maglist_t cache_empty; kmem_cpu_cache_t cache_cpu[1]; } kmem_cache_t;
typedef struct kmem_cpu_log_header { kmutex_t clh_lock; char *clh_current; size_t clh_avail; int clh_chunk; int
    clh_hits;
    char clh_pad[24]; } kmem_cpu_log_header_t;
typedef struct kmem_log_header { kmutex_t lh_lock; char *lh_base; int *lh_free; size_t lh_chunksize; int lh_nchunks;
    int lh_head; int lh_tail; int lh_hits; kmem_cpu_log_header_t lh_cpu[1]; } kmem_log_header_t;
typedef struct kstat_named { char name[31]; uchar_t data_type; union { char c[16]; int32_t i32; uint32_t ui32;
    int64_t i64;
    uint64_t ui64; } value; } kstat_named_t;
typedef struct vmem vmem_t; typedef struct vmem_seg vmem_seg_t;
struct vmem_seg { uintptr_t vs_start; uintptr_t vs_end; vmem_seg_t *vs_knext; vmem_seg_t *vs_kprev;
    vmem_seg_t *vs_anext; vmem_seg_t *vs_aprev; uint8_t vs_type; uint8_t vs_import; uint8_t vs_depth;
    kthread_t *vs_thread; hrtime_t vs_timestamp; pc_t vs_stack[20]; };
typedef struct vmem_freelist { uintptr_t vs_start; uintptr_t vs_end; vmem_seg_t *vs_knext; vmem_seg_t *vs_kprev; }
    vmem_freelist_t;
typedef struct vmem_kstat { kstat_named_t vk_mem_inuse; kstat_named_t vk_mem_import; kstat_named_t vk_mem_total;
    kstat_named_t vk_source_id; kstat_named_t vk_alloc; kstat_named_t vk_free; kstat_named_t vk_fail; } vmem_kstat_t;
struct vmem { char vm_name[30]; kcondvar_t vm_cv; kmutex_t vm_lock; uint32_t vm_id; uint32_t vm_mtbf; int vm_cflags;
    int vm_qshift; size_t vm_quantum; size_t vm_qcache_max; size_t vm_min_import; vmem_t *vm_source; vmem_t *vm_next;
    ssize_t vm_nsegfree; vmem_seg_t *vm_segfree; vmem_seg_t **vm_hash_table; size_t vm_hash_mask; size_t
    vm_hash_shift;
    ulong_t vm_freemap; vmem_seg_t vm_seg0; vmem_seg_t vm_rotor; vmem_seg_t *vm_hash0[16];
    vmem_freelist_t vm_freelist[65]; vmem_kstat_t vm_kstat; };
"""

REST = """
# sys/taskq_impl.h

struct taskq;
typedef struct taskq_ent { struct taskq_ent *tqent_next; struct taskq_ent *tqent_prev; void (*tqent_func)(void *);
    void *tqent_arg; uintptr_t tqent_flags; kthread_t *tqent_thread; kcondvar_t tqent_cv; } taskq_ent_t;
typedef struct taskq { char tq_name[32]; kmutex_t tq_lock; krwlock_t tq_threadlock; kcondvar_t tq_dispatch_cv;
    kcondvar_t tq_wait_cv; kcondvar_t tq_exit_cv; pri_t tq_pri; uint_t tq_flags; int tq_active; int tq_nthreads;
    int tq_nthreads_target; int tq_nthreads_max; int tq_threads_ncpus_pct; int tq_nalloc; int tq_minalloc; int
    tq_maxalloc;
    kcondvar_t tq_maxalloc_cv; int tq_maxalloc_wait; taskq_ent_t *tq_freelist; taskq_ent_t tq_task; int tq_maxsize;
    void *tq_buckets; int tq_instance; uint_t tq_nbuckets;
    union { kthread_t *_tq_thread; kthread_t **_tq_threadlist; } tq_thr; list_node_t tq_cpupct_link;
    struct proc *tq_proc; hrtime_t tq_totaltime; uint64_t tq_tasks; uint64_t tq_executed; int tq_maxtasks; int
    tq_tcreates;
    int tq_tdeaths; } taskq_t;
# sys/stream.h, sys/log.h, sys/strlog.h
typedef struct datab { void *db_frtnp; unsigned char *db_base; unsigned char *db_lim; unsigned char db_ref;
    unsigned char db_type; } dblk_t;
typedef struct msgb { struct msgb *b_next; struct msgb *b_prev; struct msgb *b_cont; unsigned char *b_rptr;
    unsigned char *b_wptr; struct datab *b_datap; unsigned char b_band; unsigned char b_tag; unsigned short b_flag;
    struct queue *b_queue; } mblk_t;
typedef struct queue { void *q_qinfo; struct msgb *q_first; struct msgb *q_last; struct queue *q_next; void *q_ptr;
    size_t q_count; uint_t q_flag; } queue_t;
typedef struct log_ctl { short mid; short sid; char level; short flags; int32_t ltime; int32_t ttime; int seq_no;
    int pri;
    } log_ctl_t;
# sys/utsname.h, sys/panic.h, sys/clock_impl.h
struct utsname { char sysname[257]; char nodename[257]; char release[257]; char version[257]; char machine[257]; };
typedef struct panic_nv { char pnv_name[16]; uint64_t pnv_value; } panic_nv_t;
typedef struct panic_data { uint32_t pd_version; uint32_t pd_msgoff; char pd_uuid[37]; panic_nv_t pd_nvdata[1]; }
    panic_data_t;
typedef struct lbolt_info { int64_t lbi_thresh_calls; int64_t lbi_thresh_interval; int64_t lbi_debug_ts;
    int64_t lbi_debug_time; int64_t lbi_internal; uint32_t lbi_token; boolean_t lbi_cyc_deactivate; } lbolt_info_t;
# sys/avintr.h, sys/evtchn_impl.h
struct autovec { struct autovec *av_link; uint_t (*av_vector)(void); caddr_t av_intarg1; caddr_t av_intarg2;
    uint64_t *av_ticksp; uint_t av_prilevel; void *av_intr_id; void *av_dip; ushort_t av_flags;
    struct autovec *av_ipl_link; };
struct av_head { struct autovec *avh_link; ushort_t avh_hi_pri; ushort_t avh_lo_pri; };
typedef struct irq_info { union { ushort_t evtchn; ushort_t index; } ii_u; uchar_t ii_type;
    union { uchar_t ipl; uchar_t has_handler; } ii_u2; } irq_info_t;
typedef struct mec_info { ushort_t mi_evtchns[%(ncpu)s]; short mi_irq; char mi_shared; } mec_info_t;
# xen/public/xen.h, xen/public/arch-x86/xen.h
struct arch_vcpu_info { unsigned long cr2; unsigned long pad%(vcpu_pad)s; };
struct vcpu_time_info { uint32_t version; uint32_t pad0; uint64_t tsc_timestamp; uint64_t system_time;
    uint32_t tsc_to_system_mul; int8_t tsc_shift; int8_t pad1[3]; };
struct vcpu_info { uint8_t evtchn_upcall_pending; uint8_t evtchn_upcall_mask; unsigned long evtchn_pending_sel;
    struct arch_vcpu_info arch; struct vcpu_time_info time; };
struct arch_shared_info { unsigned long max_pfn; unsigned long pfn_to_mfn_frame_list_list; unsigned long nmi_reason;
    uint64_t pad[32]; };
typedef struct shared_info { struct vcpu_info vcpu_info[32]; unsigned long evtchn_pending[%(words)s];
    unsigned long evtchn_mask[%(words)s]; uint32_t wc_version; uint32_t wc_sec; uint32_t wc_nsec;
    struct arch_shared_info arch; } shared_info_t;
"""

MODULES = """
# sys/elf.h (Elf64_Ehdr, Elf64_Shdr and their 32-bit kin)
typedef struct Ehdr { unsigned char e_ident[16]; uint16_t e_type; uint16_t e_machine; uint32_t e_version;
    uintptr_t e_entry; uintptr_t e_phoff; uintptr_t e_shoff; uint32_t e_flags; uint16_t e_ehsize; uint16_t
    e_phentsize;
    uint16_t e_phnum; uint16_t e_shentsize; uint16_t e_shnum; uint16_t e_shstrndx; } Ehdr;
typedef struct Shdr { uint32_t sh_name; uint32_t sh_type; size_t sh_flags; uintptr_t sh_addr; size_t sh_offset;
    size_t sh_size; uint32_t sh_link; uint32_t sh_info; size_t sh_addralign; size_t sh_entsize; } Shdr;
# sys/modctl.h
struct modinfo_list; struct mod_modinfo; struct modctl_list;
typedef struct mod_ops { int (*modm_install)(void); } mod_ops_t;
struct modlmisc { struct mod_ops *misc_modops; char *misc_linkinfo; };
struct modlinkage { int ml_rev; void *ml_linkage[7]; };
typedef struct modctl { struct modctl *mod_next; struct modctl *mod_prev; int mod_id; void *mod_mp;
    kthread_t *mod_inprogress_thread; struct mod_modinfo *mod_modinfo; struct modlinkage *mod_linkage;
    char *mod_filename; char *mod_modname; char mod_busy; char mod_want; char mod_prim; int mod_ref; char mod_loaded;
    char mod_installed; char mod_loadflags; char mod_delay_unload; struct modctl_list *mod_requisites; void
    *mod_unused;
    int mod_loadcnt; int mod_nenabled; char *mod_text; size_t mod_text_size; int mod_gencount;
    struct modctl *mod_requisite_loading; } modctl_t;
# sys/kobj.h; later kernels have three members more behind hdr
struct module { int total_allocated; Ehdr hdr; %(module_extra)s char *shdrs; Shdr *symhdr; Shdr *strhdr;
    char *depends_on; size_t symsize; char *symspace; int flags; size_t text_size; size_t data_size; char *text;
    char *data; unsigned int symtbl_section; char *symtbl; char *strings; unsigned int hashsize; symid_t *buckets;
    symid_t *chains; unsigned int nsyms; unsigned int bss_align; size_t bss_size; uintptr_t bss; char *filename;
    struct module_list *head; struct module_list *tail; void *destination; void *machdata; char *ctfdata; size_t
    ctfsize;
    char *fbt_tab; size_t fbt_size; size_t fbt_nentries; caddr_t textwin; caddr_t textwin_base; void *hi_calls;
    void *sdt_probes; size_t sdt_nprobes; char *sdt_tab; size_t sdt_size; char *sigdata; size_t sigsize; };
# xpv's kdi: what lies at the fixed address
struct debug_info { uint32_t di_magic; uint32_t di_version; uintptr_t di_modules; uintptr_t di_s_text;
    uintptr_t di_e_text; uintptr_t di_s_data; uintptr_t di_e_data; size_t di_hat_htable_off; size_t di_ht_pfn_off; };
"""


def declarations(bits: int, later_module: bool = False) -> str:
    """All declarations for a kernel of that width; ``later_module``: with the struct module of later kernels."""
    values = {
        "avl_node": AVL_NODE[bits],
        "regs": REGS[bits],
        "label": 8 if bits == 64 else 6,
        "cpuset": 256 // bits if bits == 64 else 1,
        "ncpu": 256 if bits == 64 else 32,
        "cc_pad": 10 if bits == 64 else 16,
        "vcpu_pad": "" if bits == 64 else "[5]",
        "words": bits,
        "module_extra": "uint_t shnum; uint_t phnum; uint_t shstrndx;" if later_module else "",
    }
    return "".join(part % values for part in (BASE, THREADS, PROCESSES, VM, KMEM, REST, MODULES))
