/* Two threads that write the same number, and nothing else: whoever looks for data races has to
 * report it. */

#include <pthread.h>
#include <stddef.h>

#include "mlflow_trace.h"

static int shared;

static void *write_it(void *unused)
{
    int i;

    for (i = 0; i < 1000; i++)
        shared++;
    return unused;
}

int main(void)
{
    pthread_t one, two;

    /* Of the library, so that it is there to be watched as well. */
    if (mlflow_abi_version() != MLFLOW_TRACE_ABI_VERSION)
        return 0;
    if (pthread_create(&one, NULL, write_it, NULL) || pthread_create(&two, NULL, write_it, NULL))
        return 0;
    pthread_join(one, NULL);
    pthread_join(two, NULL);
    return 0;
}
