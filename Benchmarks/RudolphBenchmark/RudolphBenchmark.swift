import ArgumentParser
import CKernels
import CPlatform
import MachineProbes
import Rudolph

@main
struct RudolphBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Times each stage of a model file and sets it against what this machine can do at most.",
        discussion: """
            All stages run in turn, as often as --repetitions says; a figure is the median, with the best beside it. Bytes are those that a \
            token has to read: the layers, the rows of the head, the keys and values that it sees.
            """)

    @Argument(help: "A packed model file.")
    var model: String

    @Option(help: "Threads to use (default: one for each physical core that the process may use).")
    var threads: Int?

    @Option(help: "How often each stage is run.")
    var repetitions = 5

    @Option(help: ArgumentHelp("What int8 weights multiply: int8, mixed or int16.", valueName: "bits"))
    var activations: ActivationPrecision?

    @Option(name: .customLong("kv"), help: ArgumentHelp("How keys and values are kept: f16 or int8.", valueName: "format"))
    var keyValueFormat: KeyValueFormat?

    @Flag(help: """
        Processor time of the whole process divided by the threads, for a machine that others use as well. Waiting counts, so it is \
        only fair with one thread.
        """)
    var cpuTime = false

    @Flag(help: "Leave out drawing, which takes longest.")
    var noDrawing = false

    @Option(help: ArgumentHelp(
        "Only caption this PNG or JPEG file with 30 tokens, once, and print one JSON object with the moments of the monotonic clock.",
        valueName: "picture"))
    var caption: String?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if repetitions < 1 { throw ValidationError("--repetitions is \(repetitions); expected 1 or more") }
        if caption != nil, repetitions != 5 || keyValueFormat != nil || cpuTime || noDrawing || json {
            throw ValidationError("--caption runs once and prints JSON: of the other options it takes --threads and --activations")
        }
        if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads is \(threads); expected 1 to 1024") }
    }

    func run() throws {
        let threads = self.threads ?? Session.defaultThreads
        if let caption {
            print(try OneCaption(path: model, picture: caption, threads: threads, precision: activations).run())
            return
        }
        let stages = try Stages(
            path: model, threads: threads, precision: activations, keyValueFormat: keyValueFormat,
            clock: cpuTime ? { mp_cpu_seconds() / Double(threads) } : { rp_seconds() })
        var limits: [Limits] = []
        for _ in 0..<repetitions {
            try stages.run(drawing: !noDrawing)
            limits.append(Limits(threads: threads))
        }
        let report = Report(stages: stages, limits: Limits(medianOf: limits), threads: threads)
        print(json ? report.json : report.table)
    }
}

extension ActivationPrecision: ExpressibleByArgument {
    public init?(argument: String) {
        guard let precision = Self.allCases.first(where: { $0.name == argument }) else { return nil }
        self = precision
    }
}

extension KeyValueFormat: ExpressibleByArgument {
    public init?(argument: String) {
        guard let format = Self.allCases.first(where: { $0.name == argument }) else { return nil }
        self = format
    }
}

/// What the machine can do at most, measured between runs of the stages.
struct Limits {
    /// Bytes a second, products a second.
    let read, int8, float: Double
    /// Seconds of a cache line from one core to another and back, 0 with one thread.
    let roundTrip: Double

    init(threads: Int) {
        read = mp_read_rate(Int32(threads))
        roundTrip = mp_round_trip(Int32(threads))
        var int8 = 0.0
        var float = 0.0
        for index in 0..<mp_probe_count() {
            let rate = mp_product_rate(index, Int32(threads))
            if mp_probe_at(index).kind == MP_INT8 { int8 = max(int8, rate) } else { float = max(float, rate) }
        }
        self.int8 = int8
        self.float = float
    }

    /// - Parameter limits: at least one.
    init(medianOf limits: [Limits]) {
        func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
        read = median(limits.map(\.read))
        int8 = median(limits.map(\.int8))
        float = median(limits.map(\.float))
        roundTrip = median(limits.map(\.roundTrip))
    }
}
