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
    // Threads are counted by --threads; libomp ends the process for what it cannot read here.
    unsetenv("OMP_NUM_THREADS")
}
