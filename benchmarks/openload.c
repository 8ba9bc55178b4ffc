/* Open-loop HTTP load: requests leave when their time comes, whatever became of those before them.

   openload PORT RATE SECONDS CONNECTIONS FILE      FILE: the bytes of one request

   Arrivals are a Poisson process of RATE a second. One that finds no connection free waits for one, and its latency
   counts from its time. Prints: answers a second with status 2xx, refused (other statuses), unanswered, p50 ms, p99 ms
   (of 2xx), p99 ms of these counted from when they were sent. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

typedef struct { int fd; size_t sent, got; long need; int status; double due, began; char head[4096]; } Conn;

static char *request; static size_t length;
static double *due_ms, *own_ms; static size_t done, refused, most;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static int order(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return (x > y) - (x < y); }
static void fail(const char *what) { perror(what); exit(1); }

static int dial(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void push(int poll, Conn *c) {
    while (c->sent < length) {
        ssize_t n = write(c->fd, request + c->sent, length - c->sent);
        if (n < 0 && errno != EAGAIN) fail("write");
        if (n < 0) break;
        c->sent += n;
    }
    struct epoll_event e = {.events = EPOLLIN | (c->sent < length ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poll, EPOLL_CTL_MOD, c->fd, &e);
}

static void start(int poll, Conn *c, double due) {
    c->sent = c->got = 0; c->need = -1; c->due = due; c->began = now();
    push(poll, c);
}

/* Read what is there; 1 when the answer is complete. */
static int pull(Conn *c) {
    char waste[65536];
    for (;;) {
        int head = c->need < 0;
        ssize_t n = head ? read(c->fd, c->head + c->got, sizeof c->head - 1 - c->got) : read(c->fd, waste, sizeof waste);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) fail("read");
        if (!head) { c->need -= n; if (c->need <= 0) return 1; continue; }
        c->got += n; c->head[c->got] = 0;
        char *end = strstr(c->head, "\r\n\r\n"), *size = strcasestr(c->head, "content-length:");
        if (!end) continue;
        if (!size || size > end) { fprintf(stderr, "no Content-Length\n"); exit(1); }
        c->status = atoi(c->head + 9);
        c->need = atol(size + 15) - (long)(c->head + c->got - (end + 4));
        if (c->need <= 0) return 1;
    }
}

int main(int argc, char **argv) {
    if (argc != 6) { fprintf(stderr, "openload PORT RATE SECONDS CONNECTIONS FILE\n"); return 2; }
    int port = atoi(argv[1]), count = atoi(argv[4]);
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    FILE *file = fopen(argv[5], "rb");
    if (!file) fail(argv[5]);
    fseek(file, 0, SEEK_END); length = ftell(file); rewind(file);
    request = malloc(length);
    if (fread(request, 1, length, file) != length) fail(argv[5]);
    most = (size_t)(rate * seconds * 1.5) + 1000;
    due_ms = malloc(most * sizeof(double)); own_ms = malloc(most * sizeof(double));
    double *waiting = malloc(most * sizeof(double));
    size_t first = 0, last = 0, free_count = count;
    int poll = epoll_create1(0);
    Conn *all = calloc(count, sizeof(Conn)), **idle = malloc(count * sizeof *idle);
    for (int i = 0; i < count; i++) {
        all[i].fd = dial(port); idle[i] = &all[i];
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].fd, &e);
    }
    srand48(1);
    double begin = now(), next = begin, stop = begin + seconds;
    struct epoll_event events[256];
    for (double at = begin; at < stop; at = now()) {
        for (; next <= at && last < most; next += -log(1 - drand48()) / rate) waiting[last++] = next;
        while (free_count && first < last) start(poll, idle[--free_count], waiting[first++]);
        double left = next - now();
        struct timespec wait = {0, left > 0 ? (long)(fmin(left, 0.01) * 1e9) : 0};
        int n = epoll_pwait2(poll, events, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) push(poll, c);
            if (!(events[i].events & EPOLLIN) || !pull(c)) continue;
            double end = now();
            if (c->status / 100 == 2 && done < most) {
                due_ms[done] = (end - c->due) * 1e3; own_ms[done++] = (end - c->began) * 1e3;
            } else refused++;
            idle[free_count++] = c;
        }
    }
    qsort(due_ms, done, sizeof(double), order); qsort(own_ms, done, sizeof(double), order);
    if (!done) { fprintf(stderr, "nothing was answered\n"); return 1; }
    printf("%.1f %zu %zu %.3f %.3f %.3f\n", done / seconds, refused, last - done - refused, due_ms[done / 2],
           due_ms[done * 99 / 100], own_ms[done * 99 / 100]);
    return 0;
}
