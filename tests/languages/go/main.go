// The C ABI from Go: what a Go service does to record a trace through libmlflow_trace.
package main

/*
#cgo LDFLAGS: -lmlflow_trace
#include <stdlib.h>
#include <mlflow_trace.h>
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// text lends a Go string to C for one call; the library copies it before it returns.
func text(value string, call func(C.mlflow_str_t) C.mlflow_status_t) C.mlflow_status_t {
	pointer := C.CString(value)
	defer C.free(unsafe.Pointer(pointer))
	return call(C.mlflow_str_n(pointer, C.size_t(len(value))))
}

func must(status C.mlflow_status_t) {
	if status != C.MLFLOW_OK {
		fmt.Println("status", C.GoString(C.mlflow_status_name(status)))
		os.Exit(1)
	}
}

func start(tracer *C.mlflow_tracer_t, name string, parent C.mlflow_span_t) C.mlflow_span_t {
	var span C.mlflow_span_t
	// In C's memory: what it leads to must not be Go's.
	options := (*C.mlflow_span_options_t)(C.calloc(1, C.sizeof_mlflow_span_options_t))
	defer C.free(unsafe.Pointer(options))
	options.struct_size = C.sizeof_mlflow_span_options_t
	options.parent = parent
	must(text(name, func(name C.mlflow_str_t) C.mlflow_status_t {
		return C.mlflow_span_start(tracer, name, options, &span, nil)
	}))
	return span
}

func main() {
	var config *C.mlflow_config_t
	var tracer *C.mlflow_tracer_t
	var json *C.mlflow_text_t
	must(C.mlflow_config_new(&config, nil))
	must(text("exporter", func(key C.mlflow_str_t) C.mlflow_status_t {
		return text("memory", func(value C.mlflow_str_t) C.mlflow_status_t {
			return C.mlflow_config_set(config, key, value, nil)
		})
	}))
	must(C.mlflow_tracer_new(config, &tracer, nil))
	C.mlflow_config_free(config)

	// Goroutines move between threads, so the parent is handed over and none is entered.
	root := start(tracer, "root", C.mlflow_span_t{})
	var group sync.WaitGroup
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			span := start(tracer, fmt.Sprintf("part %d", i), root)
			runtime.Gosched()
			must(text("number", func(key C.mlflow_str_t) C.mlflow_status_t {
				return C.mlflow_span_set_attribute_i64(span, key, C.int64_t(i), nil)
			}))
			must(C.mlflow_span_end(span, nil))
		}(i)
	}
	group.Wait()
	must(C.mlflow_span_end(root, nil))
	if C.mlflow_span_end(root, nil) != C.MLFLOW_ERROR_INVALID_STATE {
		os.Exit(1)
	}

	must(C.mlflow_tracer_flush(tracer, C.MLFLOW_TIMEOUT_DEFAULT, nil, nil))
	must(C.mlflow_tracer_next_trace(tracer, &json, nil))
	lent := C.mlflow_text_get(json)
	trace := C.GoStringN(lent.ptr, C.int(lent.len))
	C.mlflow_text_free(json)
	if strings.Count(trace, "\"part ") != 50 {
		fmt.Println("parts are missing:", trace)
		os.Exit(1)
	}
	must(C.mlflow_tracer_shutdown(tracer, C.MLFLOW_TIMEOUT_DEFAULT, nil, nil))
	C.mlflow_tracer_free(tracer)
}
