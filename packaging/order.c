/* Prints the names of a program's functions in the order in which they are first called.
 *
 *   order FUNCTIONS PROGRAM ARGUMENT...
 *
 * FUNCTIONS has a line for each: its address in the file, in hexadecimal, and its name. At each stands a
 * breakpoint until it is met. It ends when the program executes another one, or ends. What a child of the
 * program executes runs on by itself. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
typedef struct user_regs_struct registers;
typedef unsigned char instruction;
static const instruction BREAK = 0xcc;
#define PC(r) ((r)->rip)
#define AFTER 1
#define CALL(r) ((r)->orig_rax)
#define FIRST(r) ((r)->rdi)
#define SECOND(r) ((r)->rsi)
#define THIRD(r) ((r)->rdx)
#elif defined(__aarch64__)
typedef struct user_regs_struct registers;
typedef unsigned int instruction;
static const instruction BREAK = 0xd4200000;
#define PC(r) ((r)->pc)
#define AFTER 0
#define CALL(r) ((r)->regs[8])
#define FIRST(r) ((r)->regs[0])
#define SECOND(r) ((r)->regs[1])
#define THIRD(r) ((r)->regs[2])
#else
#error "no breakpoints for this architecture"
#endif

struct function {
    unsigned long address;
    char *name;
    instruction first;
    int met;
};

static struct function *functions;
static size_t count;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void read_functions(const char *path) {
    FILE *file = fopen(path, "r");
    unsigned long address;
    char *name;
    if (!file)
        fail(path);
    while (fscanf(file, "%lx %ms", &address, &name) == 2) {
        functions = realloc(functions, (count + 1) * sizeof *functions);
        functions[count++] = (struct function){.address = address, .name = name};
    }
    fclose(file);
}

static int by_address(const void *a, const void *b) {
    const struct function *one = a, *other = b;
    return (one->address > other->address) - (one->address < other->address);
}

/* Where a position-independent program is: its entry in memory, less that in the file. */
static unsigned long base_of(pid_t pid, const char *program) {
    char path[64];
    unsigned long pair[2], entry = 0;
    Elf64_Ehdr header;
    snprintf(path, sizeof path, "/proc/%d/auxv", pid);
    FILE *file = fopen(path, "r");
    while (file && fread(pair, sizeof pair, 1, file) == 1)
        if (pair[0] == AT_ENTRY)
            entry = pair[1];
    if (file)
        fclose(file);
    file = fopen(program, "r");
    if (!entry || !file || fread(&header, sizeof header, 1, file) != 1)
        fail(program);
    fclose(file);
    return entry - header.e_entry;
}

static void registers_of(pid_t pid, registers *r, int request) {
    struct iovec all = {r, sizeof *r};
    if (ptrace(request, pid, NT_PRSTATUS, &all))
        fail("ptrace: registers");
}

static void put(pid_t pid, unsigned long address, instruction new, instruction *old) {
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, pid, address, 0);
    if (errno)
        fail("ptrace: peek");
    if (old)
        memcpy(old, &word, sizeof *old);
    memcpy(&word, &new, sizeof new);
    if (ptrace(PTRACE_POKETEXT, pid, address, word))
        fail("ptrace: poke");
}

/* Whether a breakpoint of ours was met: it is taken away, and the program goes on there. */
static int met(pid_t pid, unsigned long base) {
    registers r;
    registers_of(pid, &r, PTRACE_GETREGSET);
    struct function key = {.address = PC(&r) - AFTER - base};
    struct function *found = bsearch(&key, functions, count, sizeof key, by_address);
    if (!found)
        return 0;
    while (found > functions && found[-1].address == key.address)
        found--;
    put(pid, base + key.address, found->first, NULL);
    PC(&r) = base + key.address;
    registers_of(pid, &r, PTRACE_SETREGSET);
    for (; found < functions + count && found->address == key.address; found++)
        if (!found->met++)
            puts(found->name);
    return 1;
}

/* A program that cannot be looked into could not be gone on with; and with pages of code that it gives back,
 * breakpoints would go. */
static void stay_in_sight(pid_t pid) {
    registers r;
    registers_of(pid, &r, PTRACE_GETREGSET);
    if (CALL(&r) == SYS_prctl && FIRST(&r) == PR_SET_DUMPABLE)
        SECOND(&r) = 1;
    else if (CALL(&r) == SYS_madvise && THIRD(&r) == MADV_DONTNEED)
        THIRD(&r) = MADV_NORMAL;
    else
        return;
    registers_of(pid, &r, PTRACE_SETREGSET);
}

int main(int argc, char **argv) {
    int status;
    if (argc < 3)
        return 64;
    read_functions(argv[1]);
    qsort(functions, count, sizeof *functions, by_address);
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    if (first < 0 || waitpid(first, &status, 0) != first || !WIFSTOPPED(status))
        fail("the program does not start to be traced");
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    if (ptrace(PTRACE_SETOPTIONS, first, 0, options))
        fail("ptrace: options");
    unsigned long base = base_of(first, argv[2]);
    for (size_t n = 0; n < count; n++) {
        if (n && functions[n].address == functions[n - 1].address)
            functions[n].first = functions[n - 1].first;
        else
            put(first, base + functions[n].address, BREAK, &functions[n].first);
    }
    pid_t pid = first;
    int signal = 0, supervised = 0;
    for (;;) {
        if (pid && ptrace(PTRACE_SYSCALL, pid, 0, signal) && errno != ESRCH)
            fail("ptrace: go on");
        if ((pid = waitpid(-1, &status, __WALL)) < 0)
            fail("waitpid");
        signal = 0;
        if (!WIFSTOPPED(status)) {
            if (pid == first)
                return supervised ? 0 : (fprintf(stderr, "the program ended before it executed another\n"), 1);
            pid = 0;
            continue;
        }
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            if (pid == first)
                return 0;
            supervised = 1;
            ptrace(PTRACE_DETACH, pid, 0, 0);
            pid = 0;
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            stay_in_sight(pid);
        else if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0 && !met(pid, base))
            signal = SIGTRAP;
        else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP)
            signal = WSTOPSIG(status);
    }
}
