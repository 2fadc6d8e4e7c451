/** Text of `len` bytes at `ptr`. */
static inline mlflow_str_t mlflow_str_n(const char *ptr, size_t len)
{
    mlflow_str_t text;
    text.ptr = ptr;
    text.len = len;
    return text;
}

/** Text up to the NUL; NULL is the empty text. */
static inline mlflow_str_t mlflow_str(const char *terminated)
{
    return mlflow_str_n(terminated, terminated ? strlen(terminated) : 0);
}

/** The text of a string literal; anything else does not compile. It is a call: not for static initialisers. */
#define MLFLOW_STR(literal) mlflow_str_n("" literal "", sizeof(literal) - 1)
