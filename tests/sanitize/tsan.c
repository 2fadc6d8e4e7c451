/* What Rust's instrumentation calls and the runtime of GCC 12 does not have. Copies that the
 * library makes are not looked at (tsan.supp says why), so these are not instrumented and call
 * nothing that is. */

#include <stddef.h>

void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memmove(void *to, const void *from, size_t size);
void *__tsan_memset(void *to, int value, size_t size);

void *__tsan_memmove(void *to, const void *from, size_t size)
{
    char *target = to;
    const char *source = from;
    size_t i;

    if (target < source) {
        for (i = 0; i < size; i++)
            target[i] = source[i];
    } else {
        for (i = size; i > 0; i--)
            target[i - 1] = source[i - 1];
    }
    return to;
}

void *__tsan_memcpy(void *to, const void *from, size_t size)
{
    return __tsan_memmove(to, from, size);
}

void *__tsan_memset(void *to, int value, size_t size)
{
    char *target = to;
    size_t i;

    for (i = 0; i < size; i++)
        target[i] = (char)value;
    return to;
}
