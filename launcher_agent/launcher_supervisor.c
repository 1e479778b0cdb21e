/* Process 1 of the agent's container: starts the agent, and starts it again whenever it ends.
 *
 * A container whose process 1 ends is not Ready until the kubelet has started it again, which takes up to five minutes
 * after several crashes. A native sidecar that is not Ready makes its pod not Ready, and Services leave such a VM out.
 * This process therefore outlives the agent. It is linked statically and allocates nothing.
 *
 * Two limits keep the agent below the container's memory limit, so that it ends with a failed allocation of its own. In
 * cgroup v2 the kernel kills all processes of a container that exceeds its limit (the kubelet sets memory.oom.group),
 * this one included.
 *
 * usage: launcher-supervisor PROGRAM [ARGUMENT]...
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Pauses before a restart, in milliseconds. The first is short: a viewer's count is not observed meanwhile. The last
 * bounds what a crash loop costs: a start takes a quarter of a second of CPU time. */
static const long FIRST_PAUSE = 100, LAST_PAUSE = 30000;
/* An agent that ran this long did not fail at its start: the next pause is the first again. */
static const long STABLE = 60000;
/* The agent needs one second to end its stream. The pod's deletion must not wait longer for a hung agent. */
static const long STOP_TIMEOUT = 5000;
/* Memory that the container's limit covers and RLIMIT_DATA does not: page tables, kernel stacks, sockets (2 MiB measured
 * in the container), and this process. */
static const long long KERNEL_MEMORY = 4LL << 20;
/* The default of 8 MiB for each thread would count against RLIMIT_DATA although almost nothing of it is used. */
static const rlim_t THREAD_STACK = 512 << 10;

static const char *const LIMIT_FILES[] = {
    "/sys/fs/cgroup/memory.max",                   /* cgroup v2 */
    "/sys/fs/cgroup/memory/memory.limit_in_bytes", /* cgroup v1 */
};

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* One line in the agent's own log format. */
static void say(const char *level, const char *message) {
    struct timespec time;
    struct tm utc;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &time);
    gmtime_r(&time.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    dprintf(STDERR_FILENO, "%s.%03ldZ %s launcher_supervisor: %s\n", stamp, time.tv_nsec / 1000000, level, message);
}

/* The container's memory limit in bytes; 0 if there is none, or none can be read. */
static long long memory_limit(void) {
    for (size_t i = 0; i < sizeof LIMIT_FILES / sizeof *LIMIT_FILES; i++) {
        char text[32] = "";
        int file = open(LIMIT_FILES[i], O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        ssize_t length = read(file, text, sizeof text - 1);
        close(file);
        /* Without a limit v2 says "max", and v1 a number near 2^63. */
        long long limit = length > 0 ? atoll(text) : 0;
        return limit < 1LL << 40 ? limit : 0;
    }
    return 0;
}

static void limit_memory(void) {
    long long limit = memory_limit();
    if (limit <= 0)
        return;
    rlim_t data = limit > 2 * KERNEL_MEMORY ? limit - KERNEL_MEMORY : limit / 2;
    setrlimit(RLIMIT_DATA, &(struct rlimit){data, data});
    setrlimit(RLIMIT_STACK, &(struct rlimit){THREAD_STACK, THREAD_STACK});
}

static pid_t start(char **command, const sigset_t *original) {
    pid_t supervisor = getpid(), child = fork();
    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(1);
    limit_memory();
    sigprocmask(SIG_SETMASK, original, NULL);
    execv(command[0], command);
    dprintf(STDERR_FILENO, "launcher-supervisor: %s: %s\n", command[0], strerror(errno));
    _exit(127);
}

static void say_ended(const char *program, int status, long pause) {
    char message[256], cause[64];
    if (WIFSIGNALED(status))
        snprintf(cause, sizeof cause, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(cause, sizeof cause, "exit status %d", WEXITSTATUS(status));
    snprintf(message, sizeof message, "%s ended: %s; it is started again in %ld.%03ld s", program, cause, pause / 1000,
             pause % 1000);
    say("WARNING", message);
}

/* Whether the caller wants one answer and no service. */
static int is_question(char **arguments) {
    for (; *arguments; arguments++)
        if (!strcmp(*arguments, "--help") || !strcmp(*arguments, "-h") || !strcmp(*arguments, "--version"))
            return 1;
    return 0;
}

int main(int count, char **arguments) {
    /* Before anything else. A process 1 loses a signal that it neither handles nor blocks. */
    sigset_t signals, original;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, &original);

    if (count < 2) {
        dprintf(STDERR_FILENO, "usage: launcher-supervisor PROGRAM [ARGUMENT]...\n");
        return 2;
    }
    char **command = arguments + 1;
    if (is_question(command)) {
        sigprocmask(SIG_SETMASK, &original, NULL);
        execv(command[0], command);
        dprintf(STDERR_FILENO, "launcher-supervisor: %s: %s\n", command[0], strerror(errno));
        return 127;
    }
    srandom((unsigned)now() ^ (unsigned)getpid());

    long ceiling = FIRST_PAUSE, started = now(), deadline = -1;
    int stopping = 0;
    pid_t agent = start(command, &original);
    for (;;) {
        if (agent < 0 && deadline < 0) { /* fork failed: no memory, or too many processes */
            say("WARNING", "fork failed; it is tried again in 30 s");
            deadline = now() + LAST_PAUSE;
        }
        int number;
        if (deadline < 0) {
            number = sigwaitinfo(&signals, NULL);
        } else {
            long left = deadline > now() ? deadline - now() : 0;
            number = sigtimedwait(&signals, NULL, &(struct timespec){left / 1000, left % 1000 * 1000000});
        }
        if (number == SIGTERM || number == SIGINT) {
            if (agent <= 0)
                return 0;
            kill(agent, SIGTERM);
            if (!stopping)
                deadline = now() + STOP_TIMEOUT;
            stopping = 1;
        } else if (number == SIGCHLD) {
            int status;
            pid_t ended;
            while ((ended = waitpid(-1, &status, WNOHANG)) > 0) { /* orphans too, as process 1 must */
                if (ended != agent)
                    continue;
                if (stopping)
                    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
                if (now() - started > STABLE)
                    ceiling = FIRST_PAUSE;
                long pause = ceiling / 2 + random() % (ceiling / 2 + 1);
                ceiling = ceiling * 2 < LAST_PAUSE ? ceiling * 2 : LAST_PAUSE;
                say_ended(command[0], status, pause);
                agent = 0;
                deadline = now() + pause;
            }
        } else if (number < 0 && errno == EAGAIN) { /* the deadline */
            deadline = -1;
            if (stopping) {
                say("WARNING", "the agent did not end within 5 s of SIGTERM; it is killed");
                kill(agent, SIGKILL);
            } else {
                started = now();
                agent = start(command, &original);
            }
        }
    }
}
