// The part of PJRT's C interface that this package calls. A plugin hands out a table of functions; each function takes
// one structure of arguments, which begins with its own size, and returns an error or NULL. Table and structures only
// grow at their ends while the interface's major version stays, and TestInterface compares them with go-xla's header.
#include <stddef.h>

struct lmkit_table {
	size_t size;
	void *extensions;
	struct { size_t size; void *extensions; int major, minor; } version;
	void *(*functions[])(void *arguments);
};

// Where functions stand in the table.
enum {
	LMKIT_ERROR_DESTROY = 0,
	LMKIT_CLIENT_ADDRESSABLE_DEVICES = 16,
	LMKIT_CLIENT_COMPILE = 20,
	LMKIT_EXECUTABLE_DESTROY = 40,
	LMKIT_EXECUTABLE_SERIALIZE = 49,
	LMKIT_LOADED_EXECUTABLE_GET_EXECUTABLE = 51,
	LMKIT_EXECUTABLE_DESERIALIZE_AND_LOAD = 56,
	LMKIT_FUNCTIONS = 57 // that the table must have
};

struct lmkit_program {
	size_t size;
	void *extensions;
	char *code;
	size_t code_size;
	const char *format;
	size_t format_size;
};

struct lmkit_compile {
	size_t size;
	void *extensions;
	void *client;
	struct lmkit_program *program;
	const char *options;
	size_t options_size;
	void *executable; // out
};

struct lmkit_load {
	size_t size;
	void *extensions;
	void *client;
	const char *bytes;
	size_t bytes_size;
	void *executable; // out
	const char *options; // NULL: those that the program was compiled with
	size_t options_size;
};

struct lmkit_serialize {
	size_t size;
	void *extensions;
	void *executable;
	const char *bytes; // out, and what follows
	size_t bytes_size;
	void *holder;
	void (*release)(void *holder);
};

struct lmkit_executable { // of a loaded executable
	size_t size;
	void *extensions;
	void *loaded;
	void *executable; // out
};

struct lmkit_destroy { // an executable, or an error
	size_t size;
	void *extensions;
	void *what;
};

struct lmkit_devices {
	size_t size;
	void *extensions;
	void *client;
	void *devices; // out
	size_t count;
};
