import CPlatform

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What both programs begin with.
package func prepareProcess() {
    // Whoever reads our output may stop at any time (`| head`): end like every other Unix program, even where the parent ignores SIGPIPE.
    signal(SIGPIPE, SIG_DFL)
    // A file that grows beyond the limit (`ulimit -f`) is an error like a full disk, and leaves nothing behind.
    signal(SIGXFSZ, SIG_IGN)
    // libomp ends the process where it cannot do what these say. Threads are counted by --threads and need no larger stacks; KMP_ and GOMP_ are
    // switches of runtimes. The standard's others, such as OMP_PLACES and OMP_WAIT_POLICY, it follows or warns of.
    for prefix in ["OMP_NUM_THREADS", "OMP_STACKSIZE", "GOMP_", "KMP_"] { rp_unset_variables(prefix) }
}
