/* Open loop over HTTP/1.1: requests leave on a schedule, whatever the server does.
 *
 * open_loop PORT CONNECTIONS TIMEOUT_S INPUT OUTPUT, against 127.0.0.1. One thread, epoll, a timerfd.
 *
 * INPUT: two u64, how many requests and how many due times; for each request a u64 length and its
 * bytes; then the due times, doubles in seconds from the start, ascending. The requests are sent in
 * turn. OUTPUT: doubles: failures, seconds of sending, how many latencies, the latencies, how many
 * lags, the lags; all in seconds.
 *
 * A latency runs from the moment a request was due. A request that finds no free connection waits,
 * and its wait counts. A failed request (cut off, status 400 and above, no answer within TIMEOUT_S)
 * counts at TIMEOUT_S. A lag is how late a request with a free connection left.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 16384
#define PART_BYTES 65536
#define EVENTS 256

typedef struct {
    uint64_t size;
    char *bytes;
} Request;

typedef struct {
    int fd;
    int busy;            /* a request is in flight */
    double due;          /* when it was due, on now()'s clock */
    const Request *request;
    uint64_t sent;       /* bytes of it that are with the kernel */
    char head[HEAD_BYTES + 1];
    size_t head_size;
    int status;          /* 0 before the head is whole */
    int chunked;
    uint64_t left;       /* bytes of the body to come, where its length is known */
    char tail[5];        /* the last bytes of a chunked body */
} Connection;

static int port, epoll_fd, open_count, idle_count;
static double timeout_s;
static Request *requests;
static uint64_t request_count, due_count, sent_count;
static Connection *connections, **idle;
static double *due, *latencies, *lags;
static uint64_t latency_count, lag_count, failures;

static void fail_with(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

static void *allocate(size_t count, size_t size) {
    void *found = calloc(count ? count : 1, size);
    if (!found) fail_with("calloc");
    return found;
}

static void watch(Connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event) < 0) fail_with("epoll_ctl");
}

/* Connect and make idle; returns 0 when the server does not accept. */
static int connect_one(Connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->busy = 0;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0) fail_with("socket");
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(connection->fd);
        return 0;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    open_count++;
    idle[idle_count++] = connection;
    return 1;
}

static void finish(double latency) {
    if (latency_count < due_count) latencies[latency_count++] = latency;
}

static void fail_one(void) {
    failures++;
    finish(timeout_s);
}

static void replace(Connection *connection) {
    close(connection->fd);
    open_count--;
    connect_one(connection);
}

/* Hand the kernel what it takes; returns 0 when the connection is broken. */
static int push(Connection *connection) {
    const Request *request = connection->request;
    while (connection->sent < request->size) {
        ssize_t taken = send(connection->fd, request->bytes + connection->sent,
                             request->size - connection->sent, MSG_NOSIGNAL);
        if (taken < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return 1;
        }
        if (taken < 0) return 0;
        connection->sent += (uint64_t)taken;
    }
    return 1;
}

static void send_one(double due_at) {
    Connection *connection = idle[--idle_count];
    connection->busy = 1;
    connection->due = due_at;
    connection->request = &requests[sent_count++ % request_count];
    connection->sent = connection->head_size = 0;
    connection->status = 0;
    if (!push(connection)) {
        fail_one();
        replace(connection);
    }
}

/* Read the head once it is whole; returns its size, 0 before. */
static size_t read_head(Connection *connection) {
    connection->head[connection->head_size] = 0;
    char *end = strstr(connection->head, "\r\n\r\n");
    if (!end) return 0;
    *end = 0;
    connection->status = atoi(connection->head + 9);
    char *length = strcasestr(connection->head, "\r\ncontent-length:");
    connection->chunked = !length && strcasestr(connection->head, "\r\ntransfer-encoding: chunked");
    connection->left = length ? strtoull(length + 17, NULL, 10) : 0;
    memset(connection->tail, 0, sizeof connection->tail);
    return (size_t)(end - connection->head) + 4;
}

/* Take `size` bytes of a body; returns 1 when the body is whole. */
static int take_body(Connection *connection, const char *bytes, size_t size) {
    if (!connection->chunked) {
        connection->left -= size < connection->left ? size : connection->left;
        return connection->left == 0;
    }
    size_t keep = size < 5 ? size : 5;
    memmove(connection->tail, connection->tail + keep, 5 - keep);
    memcpy(connection->tail + 5 - keep, bytes + size - keep, keep);
    return memcmp(connection->tail, "0\r\n\r\n", 5) == 0;
}

/* Returns 1 when the answer is whole, 0 before, -1 on a break. */
static int receive(Connection *connection) {
    static char part[PART_BYTES];
    ssize_t size = recv(connection->fd, part, sizeof part, 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    if (size <= 0) return -1;
    if (connection->status) return take_body(connection, part, (size_t)size);
    size_t known = connection->head_size, room = HEAD_BYTES - known;
    size_t added = (size_t)size < room ? (size_t)size : room;
    memcpy(connection->head + known, part, added);
    connection->head_size += added;
    size_t head = read_head(connection);
    if (!head) return connection->head_size < HEAD_BYTES ? 0 : -1;
    size_t from = head - known; /* where the body begins in `part` */
    return take_body(connection, part + from, (size_t)size - from);
}

static void forget_idle(Connection *connection) {
    for (int at = 0; at < idle_count; at++)
        if (idle[at] == connection) {
            idle[at] = idle[--idle_count];
            return;
        }
}

static void handle(Connection *connection, uint32_t events) {
    if ((events & EPOLLOUT) && connection->busy) {
        watch(connection, EPOLL_CTL_MOD, EPOLLIN);
        if (!push(connection)) events |= EPOLLIN;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    int whole = connection->busy ? receive(connection) : -1;
    if (whole == 0) return;
    if (!connection->busy) { /* closed while idle */
        forget_idle(connection);
        replace(connection);
        return;
    }
    double took = now() - connection->due;
    if (whole < 0 || connection->status >= 400 || took > timeout_s)
        fail_one();
    else
        finish(took);
    if (whole < 0 || connection->sent < connection->request->size) {
        replace(connection);
        return;
    }
    connection->busy = 0;
    idle[idle_count++] = connection;
}

/* Send all that is due and finds a connection; returns the first due time that is still to come. */
static uint64_t send_due(double start, uint64_t next, uint64_t *waiting) {
    double at = now();
    for (; *waiting < next && idle_count; (*waiting)++) send_one(start + due[*waiting]);
    for (; next < due_count && start + due[next] <= at; next++) {
        if (idle_count && *waiting == next) {
            lags[lag_count++] = at - (start + due[next]);
            send_one(start + due[next]);
            ++*waiting;
        }
    }
    return next;
}

static void set_alarm(int alarm_fd, double at) {
    struct itimerspec when = {.it_value.tv_sec = (time_t)at};
    when.it_value.tv_nsec = (long)((at - (double)when.it_value.tv_sec) * 1e9);
    if (timerfd_settime(alarm_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0) fail_with("timerfd_settime");
}

/* Send on the schedule and wait for the answers; returns the seconds of the sending. */
static double run(void) {
    struct epoll_event events[EVENTS];
    struct epoll_event alarm_event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    int alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (alarm_fd < 0) fail_with("timerfd_create");
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, alarm_fd, &alarm_event) < 0) fail_with("epoll_ctl");
    double start = now() + 0.05, last = start + due[due_count - 1];
    uint64_t next = 0, waiting = 0, armed = UINT64_MAX;
    for (;;) {
        next = send_due(start, next, &waiting);
        if (latency_count >= due_count || now() > last + timeout_s || !open_count) break;
        if (next < due_count && armed != next) {
            set_alarm(alarm_fd, start + due[next]);
            armed = next;
        }
        int count = epoll_wait(epoll_fd, events, EVENTS, 100);
        for (int at = 0; at < count; at++)
            if (events[at].data.ptr) handle(events[at].data.ptr, events[at].events);
    }
    while (latency_count < due_count) fail_one();
    return last - start;
}

static void read_or_exit(void *into, size_t size, FILE *file) {
    if (size && fread(into, size, 1, file) != 1) fail_with("input");
}

static void read_input(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail_with(path);
    read_or_exit(&request_count, sizeof request_count, file);
    read_or_exit(&due_count, sizeof due_count, file);
    requests = allocate(request_count, sizeof *requests);
    for (uint64_t at = 0; at < request_count; at++) {
        read_or_exit(&requests[at].size, sizeof requests[at].size, file);
        requests[at].bytes = allocate(requests[at].size, 1);
        read_or_exit(requests[at].bytes, requests[at].size, file);
    }
    due = allocate(due_count, sizeof *due);
    read_or_exit(due, due_count * sizeof *due, file);
    fclose(file);
    if (!request_count || !due_count) fail_with("nothing to send");
    latencies = allocate(due_count, sizeof *latencies);
    lags = allocate(due_count, sizeof *lags);
}

static void write_output(const char *path, double took_s) {
    FILE *file = fopen(path, "wb");
    if (!file) fail_with(path);
    double heads[] = {(double)failures, took_s, (double)latency_count, (double)lag_count};
    fwrite(heads, sizeof *heads, 3, file);
    fwrite(latencies, sizeof *latencies, latency_count, file);
    fwrite(heads + 3, sizeof *heads, 1, file);
    fwrite(lags, sizeof *lags, lag_count, file);
    if (fclose(file)) fail_with(path);
}

int main(int count, char **arguments) {
    if (count != 6) {
        fprintf(stderr, "usage: open_loop PORT CONNECTIONS TIMEOUT_S INPUT OUTPUT\n");
        return 2;
    }
    port = atoi(arguments[1]);
    int wanted = atoi(arguments[2]);
    timeout_s = atof(arguments[3]);
    read_input(arguments[4]);
    prctl(PR_SET_TIMERSLACK, 1); /* 1 ns instead of 50 us */
    epoll_fd = epoll_create1(0);
    if (epoll_fd < 0) fail_with("epoll_create1");
    connections = allocate((size_t)wanted, sizeof *connections);
    idle = allocate((size_t)wanted, sizeof *idle);
    for (int at = 0; at < wanted; at++)
        if (!connect_one(&connections[at])) fail_with("connect");
    write_output(arguments[5], run());
    return 0;
}
