/* An allocator for the fuzzer of operations: while it is armed, every block lies alone between pages that cannot be
 * touched, with its end (or its start) on one of them, and holds a pattern. What a kernel reads past an operand is
 * either a fault or the pattern, and what it never wrote is the pattern too: two patterns tell both from a result.
 *
 * Built with cc -shared, preloaded (LD_PRELOAD). Faults are written to memory that the parent of a fork sees. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void __libc_free(void *);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

enum { DISARMED = 0, AT_END = 1, AT_START = 2 };
#define PAGE ((size_t)4096)
#define GAP ((size_t)64 << 10)
#define LARGEST ((size_t)1 << 31)
#define ROOMS 4 /* sizes of places; a place is never given back to the system, which would cost a call each time */

typedef struct {
    char *user; /* NULL: free */
    size_t size;
    unsigned char fill;
} Block;

typedef struct {
    size_t span;
    int count, next;
    char *base;
    Block *blocks;
} Room;

/* Read by worker.py through ctypes, in this order. */
typedef struct {
    volatile int64_t signal, address, wrote, near_size, near_offset; /* a fault, and the block it is nearest to */
    volatile int64_t spoilt, spoilt_size, spoilt_offset;             /* a write beside a block, seen afterwards */
    volatile int64_t live, peak, largest;                            /* bytes */
    volatile int64_t progress[8];                                    /* the fuzzer's own */
} Record;

static Record nobody, *record = &nobody;
static Room rooms[ROOMS] = {{PAGE, 8000, 0, 0, 0}, {PAGE * 16, 300, 0, 0, 0}, {PAGE * 512, 40, 0, 0, 0}, {0, 64, 0, 0, 0}};
static int mode, used;
static unsigned char fill;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void enter(void) { while (atomic_flag_test_and_set(&busy)) {} }
static void leave(void) { atomic_flag_clear(&busy); }
static size_t stride(const Room *r) { return r->span + GAP; }
static char *pages_of(const Room *r, int i) { return r->base + (size_t)i * stride(r) + GAP; }

static void furnish(void) {
    for (int k = 0; k < ROOMS; k++) {
        Room *r = &rooms[k];
        if (k == ROOMS - 1) r->span = LARGEST + PAGE;
        r->base = mmap(0, stride(r) * r->count + GAP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        r->blocks = mmap(0, sizeof(Block) * r->count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; k < ROOMS - 1 && i < r->count; i++) mprotect(pages_of(r, i), r->span, PROT_READ | PROT_WRITE);
    }
}

static Block *find(const void *p, char **pages, size_t *span) {
    for (int k = 0; k < ROOMS; k++) {
        Room *r = &rooms[k];
        if (!r->base || (char *)p < r->base || (char *)p >= r->base + stride(r) * r->count + GAP) continue;
        int i = (int)(((char *)p - r->base - GAP) / stride(r));
        *pages = pages_of(r, i);
        *span = k < ROOMS - 1 ? r->span : (r->blocks[i].size + 64 + PAGE - 1) / PAGE * PAGE;
        return &r->blocks[i];
    }
    return 0;
}

static void inspect(const Block *b, const char *pages, size_t span) { /* the pattern beside the block */
    const char *from = pages, *to = pages + span;
    if (b->user - from > 4096) from = b->user - 4096;
    if (to - (b->user + b->size) > 4096) to = b->user + b->size + 4096;
    for (const char *p = from; p < to; p++) {
        if (p == b->user) p += b->size;
        if (p < to && (unsigned char)*p != b->fill) {
            if (!record->spoilt) { record->spoilt = 1; record->spoilt_size = b->size; record->spoilt_offset = p - b->user; }
            return;
        }
    }
}

static void *take(size_t size, int tensor) {
    size_t align = 16;
    if (tensor && size) for (align = 1; align < 64 && size % (align * 2) == 0; align *= 2) {}
    if ((int64_t)size > record->largest) record->largest = size;
    if (size > LARGEST) { errno = ENOMEM; return 0; }
    enter();
    for (int k = 0; k < ROOMS; k++) {
        Room *r = &rooms[k];
        if (size > r->span) continue;
        for (int tries = 0; tries < r->count; tries++) {
            int i = r->next = (r->next + 1) % r->count;
            Block *b = &r->blocks[i];
            if (b->user) continue;
            char *pages = pages_of(r, i);
            size_t span = k < ROOMS - 1 ? r->span : (size + 64 + PAGE - 1) / PAGE * PAGE;
            if (k == ROOMS - 1 && mprotect(pages, span, PROT_READ | PROT_WRITE)) break;
            b->size = size;
            b->fill = fill;
            b->user = mode == AT_END ? pages + ((span - size) & ~(align - 1)) : pages;
            if (k < ROOMS - 1) memset(pages, fill, span);
            else { /* it costs what is touched: the pattern lies in the block only up to 16 MB */
                memset(pages, fill, b->user - pages);
                memset(b->user, fill, size > ((size_t)16 << 20) ? (size_t)16 << 20 : size);
                memset(b->user + size, fill, pages + span - (b->user + size));
            }
            used++;
            record->live += size;
            if (record->live > record->peak) record->peak = record->live;
            leave();
            return b->user;
        }
    }
    leave();
    errno = ENOMEM;
    return 0;
}

static int give(void *p) {
    char *pages;
    size_t span;
    Block *b = find(p, &pages, &span);
    if (!b) return 0;
    enter();
    inspect(b, pages, span);
    record->live -= b->size;
    used--;
    b->user = 0;
    if (b >= rooms[ROOMS - 1].blocks && b < rooms[ROOMS - 1].blocks + rooms[ROOMS - 1].count) {
        madvise(pages, span, MADV_DONTNEED);
        mprotect(pages, span, PROT_NONE);
    }
    leave();
    return 1;
}

void *malloc(size_t n) { return mode ? take(n, 0) : __libc_malloc(n); }
void free(void *p) { if (p && !give(p)) __libc_free(p); }
void *calloc(size_t n, size_t each) {
    if (!mode) return __libc_calloc(n, each);
    size_t size;
    if (__builtin_mul_overflow(n, each, &size)) { errno = ENOMEM; return 0; }
    void *p = take(size, 0);
    if (p) memset(p, 0, size);
    return p;
}
void *realloc(void *p, size_t n) {
    char *pages;
    size_t span;
    Block *b = p ? find(p, &pages, &span) : 0;
    if (!b) return p || !mode ? __libc_realloc(p, n) : take(n, 0);
    void *q = malloc(n);
    if (!q) return 0;
    memcpy(q, p, b->size < n ? b->size : n);
    give(p);
    return q;
}
void *memalign(size_t align, size_t n) { return mode && align <= 64 ? take(n, 1) : __libc_memalign(align, n); }
void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }
int posix_memalign(void **out, size_t align, size_t n) { return (*out = memalign(align, n)) ? 0 : ENOMEM; }
size_t malloc_usable_size(void *p) {
    char *pages;
    size_t span;
    Block *b = p ? find(p, &pages, &span) : 0;
    if (b) return b->size;
    size_t chunk = p ? ((size_t *)p)[-1] & ~(size_t)7 : 0;
    return chunk > 16 ? chunk - 8 : 0;
}

/* -- for worker.py ---------------------------------------------------------------------------------- */

void *guard_record(void) {
    if (record == &nobody) {
        record = mmap(0, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        furnish();
    }
    return record;
}
void guard_arm(int where, int pattern) { fill = (unsigned char)pattern; mode = where; }
void guard_disarm(void) { mode = DISARMED; }
int guard_used(void) { return used; }

static void each(void (*look)(Block *, char *, size_t)) {
    for (int k = 0; k < ROOMS; k++)
        for (int i = 0; i < rooms[k].count; i++) {
            Block *b = &rooms[k].blocks[i];
            if (!b->user) continue;
            char *pages;
            size_t span;
            find(b->user, &pages, &span);
            look(b, pages, span);
        }
}
static void look_beside(Block *b, char *pages, size_t span) { inspect(b, pages, span); }
void guard_inspect(void) { each(look_beside); }

static int64_t best;
static void look_near(Block *b, char *pages, size_t span) {
    (void)pages; (void)span;
    int64_t offset = (char *)record->address - b->user;
    int64_t far = offset < 0 ? -offset : offset - (int64_t)b->size;
    if (far < best) { best = far; record->near_size = b->size; record->near_offset = offset; }
}
static void fault(int number, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    mode = DISARMED;
    record->signal = number;
    record->address = (int64_t)info->si_addr;
#ifdef __x86_64__
    record->wrote = (c->uc_mcontext.gregs[REG_ERR] >> 1) & 1;
#else
    (void)c;
#endif
    best = INT64_MAX;
    if (number == SIGSEGV) each(look_near);
    _exit(77);
}
void guard_handlers(void) {
    static char stack[1 << 16];
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&s, 0);
    struct sigaction a = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};
    int all[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sigaction(all[i], &a, 0);
}
