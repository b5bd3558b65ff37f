import CPlatform
import Rudolph

/// What is timed, in the order of the report.
enum Stage: String, CaseIterable {
    case open = "open the model"
    case encode = "picture to tokens"
    case decode = "tokens to picture"
    case leftText = "read the left text"
    case image = "read the picture's tokens"
    case shallow = "token at depth 0"
    case deep = "token after the picture"
    case eight = "8 sequences, one picture"
    case many = "48 sequences, one picture"
    case caption = "whole caption of 30 tokens"
    case draw = "draw a picture"
}

/// Runs every stage once for each call of `run` and keeps the seconds.
final class Stages {
    let path: String
    let threads: Int
    let precision: ActivationPrecision?
    let keyValueFormat: KeyValueFormat?
    let clock: () -> Double
    let model: Model
    private(set) var seconds: [Stage: [Double]] = [:]
    /// The largest resident set after captions, before anything was drawn.
    private(set) var captionPeak: UInt64 = 0
    private let session: Session
    private let picture: RGBImage
    private var questions = 0

    init(path: String, threads: Int, precision: ActivationPrecision?, keyValueFormat: KeyValueFormat?, clock: @escaping () -> Double) throws {
        self.clock = clock
        self.path = path
        self.threads = threads
        self.precision = precision
        self.keyValueFormat = keyValueFormat
        model = try Model(path: path)
        session = try Session(model, threads: threads, precision: precision, keyValueFormat: keyValueFormat)
        let side = model.configuration.imageSide
        // A disc before a gradient.
        var pixels = [UInt8](repeating: 0, count: 3 * side * side)
        for y in 0..<side {
            for x in 0..<side {
                let dx = x - side / 2
                let dy = y - side / 2
                let isInside = dx * dx + dy * dy < side * side / 9
                let place = 3 * (y * side + x)
                pixels[place] = UInt8(255 * x / side)
                pixels[place + 1] = isInside ? 200 : UInt8(255 * y / side)
                pixels[place + 2] = isInside ? 40 : 128
            }
        }
        picture = try RGBImage(width: side, height: side, pixels: pixels)
    }

    func run(drawing: Bool) throws {
        try time(.open) { _ = try Session(try Model(path: path), threads: threads, precision: precision, keyValueFormat: keyValueFormat) }
        // First, before the other stages take more memory.
        try time(.caption) {
            let tokens = try session.imageTokens(of: picture)
            session.releaseImageEncoder()
            _ = try Captioner(session).captions(tokens: tokens, greedy(tokens: 32))
        }
        if captionPeak == 0 { captionPeak = rp_peak_memory() }
        // The encoder was given back: with this picture it takes its memory, so that, as a peer's, it has it when it is timed. The decoder likewise.
        var tokens = try session.imageTokens(of: picture)
        try time(.encode) { tokens = try session.imageTokens(of: picture) }
        try caption(tokens)
        try sequences(8, .eight, tokens)
        try sequences(48, .many, tokens)
        try fromNothing()
        session.releaseImageEncoder()
        _ = try session.image(of: tokens)
        try time(.decode) { _ = try session.image(of: tokens) }
        session.releaseImageDecoder()
        if drawing {
            var options = DrawOptions()
            options.seed = 1
            try time(.draw) { _ = try Drawer(session).draw("кот", options) }
        }
    }

    private func time(_ stage: Stage, _ body: () throws -> Void) rethrows {
        let start = clock()
        try body()
        seconds[stage, default: []].append(clock() - start)
    }

    private func greedy(tokens: Int) -> CaptionOptions {
        var options = CaptionOptions.greedy
        options.maximumTokens = min(tokens, model.configuration.rightTextLength)
        return options
    }

    /// Times between the calls of the progress handler are those of the passes.
    private func caption(_ tokens: [Int]) throws {
        var options = greedy(tokens: 18)
        // Another left text each time: an equal one is not read again.
        questions += 1
        options.leftText = questions % 2 == 0 ? "где" : "что"
        var reading: [Int: Double] = [:]
        var generating: [Double] = []
        _ = try Captioner(session).captions(tokens: tokens, options, progress: { [clock] progress in
            if progress.stage == .reading, reading[progress.total] == nil { reading[progress.total] = clock() }
            if progress.stage == .generating { generating.append(clock()) }
            return true
        })
        let configuration = model.configuration
        guard let left = reading[configuration.leftTextLength], let image = reading[configuration.imageLength + 2],
            let end = generating.first
        else { return }
        seconds[.leftText, default: []].append(image - left)
        seconds[.image, default: []].append(end - image)
        add(.deep, generating)
    }

    private func add(_ stage: Stage, _ times: [Double]) {
        for index in times.indices.dropFirst() { seconds[stage, default: []].append(times[index] - times[index - 1]) }
    }

    /// So hot that texts differ. Those of Benchmarks/synthetic.py's models end at their length only; of others some end early, and later
    /// steps compute fewer rows.
    private static let hot = SamplingOptions(temperature: 50, topK: 64, topP: 1)

    private func sequences(_ count: Int, _ stage: Stage, _ tokens: [Int]) throws {
        var options = CaptionOptions()
        options.template = nil
        options.candidates = count
        options.ranking = .count
        options.sampling = Self.hot
        options.seed = 1
        options.maximumTokens = 8
        var generating: [Double] = []
        _ = try Captioner(session).captions(tokens: tokens, options, progress: { [clock] progress in
            if progress.stage == .generating { generating.append(clock()) }
            return true
        })
        add(stage, generating)
    }

    private func fromNothing() throws {
        var options = CompleteOptions()
        options.candidates = 1
        options.sampling = Self.hot
        options.seed = 1
        options.maximumTokens = min(18, model.configuration.leftTextLength)
        var generating: [Double] = []
        _ = try Completer(session).complete("", options, progress: { [clock] progress in
            if progress.stage == .generating { generating.append(clock()) }
            return true
        })
        add(.shallow, generating)
    }
}
