/* One deliberate fault, which the argument names: whoever watches this program has to report it.
 * In C and in C++. */

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mlflow_trace.h"

/* Unknown to the compiler, which would see the faults otherwise. */
static volatile size_t size = 8;
static volatile int result;

/* Reads behind a block of the heap. */
static void read_behind(void)
{
    char *block = (char *)calloc(size, 1);

    result = block[size];
    free(block);
}

/* Reads a block of the heap that is free again. */
static void read_freed(void)
{
    char *block = (char *)calloc(size, 1);
    char *volatile same = block;

    free(block);
    result = same[0];
}

/* Says of a text that it is longer than its block: the library reads behind it. */
static void text_behind(void)
{
    mlflow_config_t *config = NULL;
    mlflow_str_t key;
    char *block = (char *)calloc(size, 1);

    key.ptr = block;
    key.len = size + 1;
    if (mlflow_config_new(&config, NULL) == MLFLOW_OK)
        (void)mlflow_config_set(config, key, MLFLOW_STR("value"), NULL);
    mlflow_config_free(config);
    free(block);
}

/* Loses blocks of the heap: many, for the last may still be in a register. */
static void leak(void)
{
    char *volatile block = NULL;
    int i;

    for (i = 0; i < 100; i++)
        block = (char *)calloc(size, 1);
    block = NULL;
    result = block == NULL;
}

/* Decides by what was never set. */
static void unset(void)
{
    char *volatile block = (char *)malloc(size);

    if (block[0] > 7)
        result = 1;
    free(block);
}

/* Adds one to the largest number. */
static void overflow(void)
{
    volatile int most = INT_MAX;

    result = most + 1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } faults[] = {
        {"read-behind", read_behind},
        {"read-freed", read_freed},
        {"text-behind", text_behind},
        {"leak", leak},
        {"unset", unset},
        {"overflow", overflow},
    };
    size_t i;

    for (i = 0; argc == 2 && i < sizeof faults / sizeof *faults; i++)
        if (strcmp(argv[1], faults[i].name) == 0) {
            faults[i].run();
            return 0;
        }
    return 2;
}
