/* `fidelity list` prints the states, `fidelity run STATE` goes into one and compares its rows. */
#include "fidelity.h"

#include <unistd.h>

/* Seconds after which a state counts as stuck. */
#define PATIENCE 300

static struct {
    const char *name;
    void (*run)(void);
} states[200];
static int count, rows, wrong;
static const char *state;

void add_state(const char *name, void (*run)(void)) {
    if (count == sizeof states / sizeof *states) abort();
    states[count].name = name;
    states[count++].run = run;
}

static const char *name_of(CUresult code) {
    const char *text = NULL;
    if (cuGetErrorName(code, &text) != CUDA_SUCCESS || text == NULL) return "no code";
    return text;
}

static const char *base(const char *file) {
    const char *slash = strrchr(file, '/');
    return slash ? slash + 1 : file;
}

void row(const char *file, int line, const char *call, const char *source, CUresult want, CUresult known, CUresult got) {
    rows++;
    if (got == known) {
        if (want != known)
            printf("known: %s: %s is %s (%d), should be %s (%d) by %s\n", state, call, name_of(got), got, name_of(want), want, source);
        return;
    }
    wrong++;
    if (got == want)
        printf("%s:%d: %s: %s is right now; it was a known difference\n", base(file), line, state, call);
    else
        printf("%s:%d: %s: %s is %s (%d), should be %s (%d) by %s\n", base(file), line, state, call, name_of(got), got, name_of(want),
               want, source);
}

void holds(const char *file, int line, const char *condition, const char *source, int is) {
    rows++;
    if (is) return;
    wrong++;
    printf("%s:%d: %s: not so: %s, by %s\n", base(file), line, state, condition, source);
}

void set(const char *file, int line, const char *call, CUresult got) {
    if (got == CUDA_SUCCESS) return;
    printf("%s:%d: %s: the state cannot be reached: %s is %s (%d)\n", base(file), line, state, call, name_of(got), got);
    fflush(stdout);
    _Exit(3);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (int i = 0; i < count; i++) puts(states[i].name);
        return 0;
    }
    if (argc != 3 || strcmp(argv[1], "run") != 0) return 2;
    alarm(PATIENCE);
    for (int i = 0; i < count; i++) {
        if (strcmp(states[i].name, argv[2]) != 0) continue;
        state = states[i].name;
        states[i].run();
        printf("rows %d\n", rows);
        return wrong != 0;
    }
    return 2;
}
