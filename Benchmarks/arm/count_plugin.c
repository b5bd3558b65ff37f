// A plugin for QEMU's user mode that counts guest instructions between calls of a function named mark(), in all and for each function.
// Every translated block adds its number of instructions when it runs: exact but for blocks that a signal cuts short.
//
//     qemu-aarch64 -plugin ./libcount.so -d plugin -D counts.txt program
//
// Debian ships QEMU without qemu-plugin.h; what is needed of its interface, version 1, is declared here.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info qemu_info;
enum { ADD_U64 = 0, NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*call)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*call)(unsigned cpu, void *data), int flags, void *data);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int operation, void *counter, uint64_t addend);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);
void qemu_plugin_outs(const char *text);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { FUNCTIONS = 4096 };
static char names[FUNCTIONS][96];
static uint64_t executed[FUNCTIONS], before[FUNCTIONS];
static int functions, marks;

static uint64_t *counter_of(const char *name) {
    int i = 0;
    while (i < functions && strncmp(names[i], name, sizeof names[i] - 1) != 0) i++;
    if (i == functions) {
        if (functions == FUNCTIONS) return &executed[0];
        strncpy(names[functions++], name, sizeof names[i] - 1);
    }
    return &executed[i];
}

// Lines "mark function instructions" for what ran since the mark before.
static void marked(unsigned cpu, void *data) {
    (void)cpu, (void)data;
    for (int i = 0; i < functions; i++) {
        char line[160];
        snprintf(line, sizeof line, "%d %s %" PRIu64 "\n", marks, names[i], executed[i] - before[i]);
        if (marks && executed[i] != before[i]) qemu_plugin_outs(line);
        before[i] = executed[i];
    }
    marks++;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    const char *name = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, counter_of(name ? name : "?"), qemu_plugin_tb_n_insns(tb));
    if (name && strcmp(name, "mark") == 0) qemu_plugin_register_vcpu_tb_exec_cb(tb, marked, NO_REGISTERS, NULL);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
