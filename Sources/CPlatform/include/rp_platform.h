// The system calls that the Embedded Swift core needs, and what image files, converter and programs have in common. Every function returns 0 or a
// value, or an errno; none aborts.
#ifndef RP_PLATFORM_H
#define RP_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

// A file mapped read-only. Owned by the caller: rp_unmap releases it.
typedef struct rp_mapping {
    const void *bytes;
    uint64_t size;
} rp_mapping;

// Maps a regular file that is not empty. Returns 0, or an errno: EISDIR for a directory, RP_EMPTY for an empty file, RP_NOT_REGULAR for
// anything else that is no regular file.
int rp_map(const char *path, rp_mapping *mapping);
void rp_unmap(rp_mapping mapping);
enum { RP_EMPTY = -1, RP_NOT_REGULAR = -2 };

// A file that appears under its name only when it is complete: it is written beside it, synced and renamed. A symbolic link stays one: the file
// that it names is replaced, or made. A file that is replaced keeps its permissions. Where the functions return an int it is 0, or an errno.
typedef struct rp_output rp_output;
enum { RP_PATH = 4096 };
int rp_output_open(const char *path, rp_output **output);
// Where it is until it is committed.
const char *rp_output_name(const rp_output *output);
int rp_output_write(rp_output *output, const void *bytes, uint64_t size, uint64_t offset);
// Makes the file durable and gives it its name.
int rp_output_commit(rp_output *output);
// Frees what rp_output_open gave, NULL allowed; what was not committed is removed.
void rp_output_close(rp_output *output);
// Not 0 where rp_output_open is bound to fail.
int rp_output_check(const char *path);
// A new name, which ends with a dot and `suffix`, in the folder of the file that `path` names behind symbolic links.
int rp_name_beside(const char *path, const char *suffix, char name[RP_PATH]);

// Writes all of them to what no rename can replace: a pipe, a device, a standard stream. Returns 0, or an errno.
int rp_write(int descriptor, const void *bytes, uint64_t size);

// What errno `code` means, a static or thread-local string.
const char *rp_error_text(int code);

// Gives the whole pages of the mapped bytes [offset, offset + size) back to the system, which reads them again when they are touched.
void rp_release(rp_mapping mapping, uint64_t offset, uint64_t size);

// Zeroed memory at a multiple of 64 bytes, or NULL. rp_free and rp_prefer_large_pages accept NULL.
void *rp_allocate(uint64_t size);
void rp_free(void *memory);
// For memory of rp_allocate that will be used from end to end: pages of 2 MB, where the system has them, cost one fault instead of 512.
void rp_prefer_large_pages(void *memory);

// Memory that could be used without swapping, in bytes (MemAvailable), and no more than the process may have (ulimit -v) and its container
// leaves it; or 0 when unknown.
uint64_t rp_available_memory(void);
// What control groups (cgroup v2) leave their processes: the least of memory.max - memory.current, pages of files not counted, of a group and
// those around it, in bytes; UINT64_MAX where nothing is limited. `membership` is a file like /proc/self/cgroup, and `root` where the groups
// are mounted.
uint64_t rp_group_memory(const char *membership, const char *root);
// The cores among the processors that this process may run on (its affinity mask), 1 or more: hardware threads of the same core count as one, and
// where cores differ (big.LITTLE) only those count that are two thirds as fast as the fastest. Where nothing is said of a processor it is a core.
uint64_t rp_usable_cores(void);
// The same of others: processor i is bit i % 64 of mask[i / 64], and `root` a folder like /sys/devices/system/cpu.
uint64_t rp_cores(const uint64_t *mask, size_t words, const char *root);
// The processors whose time control groups give this process, a share of one counted as one; UINT64_MAX where it is not limited.
uint64_t rp_allowed_processors(void);
// The same of others: the least of cpu.max of a group and those around it.
uint64_t rp_group_processors(const char *membership, const char *root);
// The largest resident set of this process so far, in bytes.
uint64_t rp_peak_memory(void);

// How many of `count` threads the system lets this process have beside the caller's: as many as an earlier call got, or can be started now, with
// stacks of `stack` bytes; they end before this returns. All of them in a library without threads (RK_SERIAL).
int rp_start_threads(int count, uint64_t stack);

// Takes the variables whose names begin with `prefix` out of the environment. Not while other threads look at it.
void rp_unset_variables(const char *prefix);

// A flag that one thread or a signal handler raises and others look at: atomic, and safe in a signal handler.
void rp_flag_raise(int32_t *flag);
void rp_flag_lower(int32_t *flag);
int rp_flag_is_raised(const int32_t *flag);
// A flag that one thread holds at a time: not 0 where this call took it, who then sees what its last holder wrote.
int rp_flag_take(int32_t *flag);
void rp_flag_give_back(int32_t *flag);

// Seconds of a monotonic clock.
double rp_seconds(void);
// A number to seed a generator with when the user gave none.
uint64_t rp_random_seed(void);

#endif
