import CPlatform

/// One caller's working memory on a model: the buffers of transformer and image encoder, and the keys and values of the sequence.
///
/// Tasks run on a session, one after the other; what they have in common (the left text of captions) is computed once. One that is begun while
/// another runs, on another thread or from its handlers, throws `RudolphError` of kind `RudolphError.Kind.inUse`; to run several at the same
/// time open several sessions. Pictures are counted by themselves: a task's handlers may use `imageTokens(of:)` and `image(of:)`.
public final class Session {
    /// What it runs.
    public let model: Model
    /// Workers that tasks compute with, the calling thread among them.
    public let threads: Int
    /// How finely activations are quantized that 8-bit weights multiply.
    public let precision: ActivationPrecision
    /// How the image tokenizer sums.
    public let imageArithmetic: ImageArithmetic
    /// How keys and values of earlier positions are kept.
    public let keyValueFormat: KeyValueFormat
    /// Whether image encoder and decoder stay in memory for the next picture. Where they do not, each picture ends with `releaseImageEncoder`
    /// or `releaseImageDecoder`, before the transformer is used: for boards where memory is short.
    public var keepsImageTokenizer = true
    /// Whether what the model file has of keys and values is what this session would compute.
    private let takesStored: Bool

    /// Raise it, from any thread or a signal handler, to end the running task within one layer's work.
    public let stop = StopFlag()

    /// Taken by each task, whose keys and values another one would write over.
    let tasks = UsageFlag()
    /// Taken by what uses `encoder` and `decoder`.
    private let pictures = UsageFlag()

    let transformer: Transformer
    /// The whole sequence, or the part that candidates share.
    let prefix: KeyValueCache
    private(set) var encoder: ImageEncoder?
    private(set) var decoder: ImageDecoder?
    /// The left-text ids whose keys and values are in `prefix`.
    private var leftText: [Int] = []

    /// Positions that are computed at once while a prompt is read: 16 x 16 image tokens and the first of the right text in one pass.
    package static let positionsAtOnce = 272

    /// The most texts or pictures that one call of a task generates to choose from.
    public static let maximumCandidates = 4096

    /// The most pictures that are drawn at the same time. Each step computes all of them in one pass, which has room for 272 sequences; guided
    /// drawings are two each.
    public static let maximumBatch = 64

    /// The most workers that a session can have.
    public static let maximumThreads = 1024

    /// The workers of a session where nothing is said: one for each physical core that the process may use, however many hardware threads it has, the
    /// fast ones where they differ, and in a container or a service no more than its share of processor time.
    public static var defaultThreads: Int { Int(min(rp_usable_cores(), rp_allowed_processors(), UInt64(maximumThreads))) }

    /// Allocates the buffers of the transformer and of one sequence.
    /// - Parameters:
    ///   - model: what to run; other sessions may run it as well.
    ///   - threads: workers to compute with, 1 to `maximumThreads`; nil takes `defaultThreads`.
    ///   - precision: of activations that 8-bit weights multiply, which an int4 model has in its heads only and a float model has not; nil takes
    ///     `.int8`.
    ///   - imageArithmetic: of the image tokenizer; nil takes `.fast` where the model's weights are integers, else `.winograd`. But for `.fast` a
    ///     picture's tokens do not depend on the processor.
    ///   - keyValueFormat: of the keys and values of earlier positions; nil takes `.int8` for int4 and int8 models, else `.f16`;
    ///     int8 takes about half the memory.
    /// - Throws: for any other number of threads, for more than the system lets this process have at that time (`ulimit -u`, a container's limit
    ///   of pids), and where there is not enough memory. The OpenMP runtime starts them at the first task, others for each thread that runs tasks,
    ///   and ends the process where the system refuses one then.
    public init(
        _ model: Model, threads: Int? = nil, precision: ActivationPrecision? = nil, imageArithmetic: ImageArithmetic? = nil,
        keyValueFormat: KeyValueFormat? = nil
    ) throws(RudolphError) {
        let threads = threads ?? Self.defaultThreads
        guard (1...Self.maximumThreads).contains(threads) else {
            throw RudolphError("\(threads) threads, expected 1 to \(Self.maximumThreads)")
        }
        try Self.checkThreads(threads)
        self.model = model
        self.threads = threads
        self.imageArithmetic = imageArithmetic ?? .standard(for: model.weightType)
        self.keyValueFormat = keyValueFormat ?? .standard(for: model.weightType)
        self.precision = precision ?? .standard
        let stored = model.captionLeftText
        takesStored = stored?.format == self.keyValueFormat && (stored?.precision == nil || stored?.precision == self.precision)
        transformer = try Transformer(
            model, threads: threads, maximumRows: Self.positionsAtOnce, precision: self.precision, stop: stop)
        prefix = try KeyValueCache(
            model.configuration, self.keyValueFormat, start: 0, .positions(capacity: model.configuration.sequenceLength))
    }

    /// Throws where the system does not let this process have `count` threads: the OpenMP runtime would end it. Steps need less stack than this.
    static func checkThreads(_ count: Int, stackBytes: UInt64 = 256 << 10) throws(RudolphError) {
        let possible = 1 + Int(rp_start_threads(Int32(count - 1), stackBytes))
        guard count <= possible else {
            throw RudolphError(
                "\(count) threads, expected at most \(possible): the system lets this process have no more (ulimit -u, a container's limit of pids)",
                kind: .system)
        }
    }

    /// A cache in the session's format.
    func cache(start: Int, _ kind: KeyValueCache.Kind) throws(RudolphError) -> KeyValueCache {
        try KeyValueCache(model.configuration, keyValueFormat, start: start, kind)
    }

    /// The tokens of a picture, in reading order: `Configuration.imageLength` of its centred square, which is resized to `Configuration.imageSide`
    /// pixels a side (see ``ImagePreparation``). What lies beside or above the square is not read.
    /// - Throws: where weights are damaged or memory is short, and `RudolphError.stopped`. The session is as usable afterwards as before.
    public func imageTokens(of image: RGBImage) throws(RudolphError) -> [Int] {
        let side = model.configuration.imageSide
        return try tokens(ofPrepared: try ImagePreparation.prepare(image, side: side), height: side, width: side)
    }

    /// The same of rows of 8-bit RGB pixels that stay where they are.
    func imageTokens(of pixels: UnsafePointer<UInt8>, width: Int, height: Int) throws(RudolphError) -> [Int] {
        let side = model.configuration.imageSide
        return try tokens(
            ofPrepared: try ImagePreparation.prepare(pixels, width: width, height: height, side: side), height: side, width: side)
    }

    /// The tokens of a prepared picture or a part of one.
    func tokens(ofPrepared pixels: [UInt8], height: Int, width: Int) throws(RudolphError) -> [Int] {
        try pictures.take()
        defer { pictures.giveBack() }
        let encoder: ImageEncoder
        if let existing = self.encoder {
            encoder = existing
        } else {
            encoder = try ImageEncoder(model, threads: threads, arithmetic: imageArithmetic, stop: stop)
            self.encoder = encoder
        }
        defer { if !keepsImageTokenizer { dropImageEncoder() } }
        return try encoder.tokens(of: pixels, height: height, width: width)
    }

    /// The picture of `Configuration.imageLength` image tokens; its side is `Configuration.drawingSide`.
    /// - Throws: where the model has no image decoder, for other tokens than the codes of a picture, where weights are damaged or memory is short,
    ///   and `RudolphError.stopped`. The session is as usable afterwards as before.
    public func image(of tokens: [Int]) throws(RudolphError) -> RGBImage {
        try pictures.take()
        defer { pictures.giveBack() }
        let decoder: ImageDecoder
        if let existing = self.decoder {
            decoder = existing
        } else {
            decoder = try ImageDecoder(model, threads: threads, arithmetic: imageArithmetic, stop: stop)
            self.decoder = decoder
        }
        defer { if !keepsImageTokenizer { dropImageDecoder() } }
        return try decoder.image(of: tokens)
    }

    /// Frees the image encoder's buffers and gives its weights' pages back, for when no picture follows soon. The next picture takes
    /// them again. Does nothing while another thread is at a picture.
    public func releaseImageEncoder() {
        guard pictures.tryTaking() else { return }
        defer { pictures.giveBack() }
        dropImageEncoder()
    }

    /// Likewise for the image decoder.
    public func releaseImageDecoder() {
        guard pictures.tryTaking() else { return }
        defer { pictures.giveBack() }
        dropImageDecoder()
    }

    private func dropImageEncoder() {
        encoder = nil
        model.release(model.imageEncoder.range)
    }

    private func dropImageDecoder() {
        decoder = nil
        model.release(model.imageDecoder?.range)
    }

    /// A text segment as the model was trained on it: begin, task token, BPE ids, end; cut to the segment.
    /// - Parameter isPadded: whether zeros fill the segment.
    package func segment(_ text: String, task: String, length: Int, isPadded: Bool) throws(RudolphError) -> [Int] {
        let tokenizer = model.tokenizer
        var ids = [tokenizer.beginID]
        if !model.configuration.taskTokens.isEmpty {
            guard let token = model.configuration.taskToken(task) else {
                var known = ""
                for token in model.configuration.taskTokens { known += known.isEmpty ? token.name : ", \(token.name)" }
                throw RudolphError("\(model.path): has no task token \(task); it has \(known)")
            }
            ids.append(token)
        }
        ids += tokenizer.encode(text)
        ids.append(tokenizer.endID)
        if ids.count > length { ids.removeSubrange(length...) }
        if isPadded { ids += [Int](repeating: 0, count: length - ids.count) }
        return ids
    }

    /// A text as the left segment, lower-cased and stripped.
    func leftSegment(_ text: String, task: String, isPadded: Bool = true) throws(RudolphError) -> [Int] {
        try segment(Tokenizer.lowercasedAndStripped(text), task: task, length: model.configuration.leftTextLength, isPadded: isPadded)
    }

    /// A text as the right segment, lower-cased and stripped; nothing follows it that pads would be needed for.
    func rightSegment(_ text: String, task: String) throws(RudolphError) -> [Int] {
        try segment(Tokenizer.lowercasedAndStripped(text), task: task, length: model.configuration.rightTextLength, isPadded: false)
    }

    /// The left text of plain captions: an empty segment, the same for every picture.
    func captionLeftText() throws(RudolphError) -> [Int] {
        try leftSegment("", task: TaskToken.imageToText)
    }

    /// Computes the left text unless its keys and values are there already, here or in the model file.
    func readLeftText(_ ids: [Int], _ progress: ProgressHandler?) throws(RudolphError) {
        if ids == leftText { return }
        leftText = []
        if takesStored, let stored = model.captionLeftText, ids == (try captionLeftText()) {
            prefix.load(elements: stored.elements, scales: stored.scales, positions: ids.count, model.configuration)
            for range in stored.ranges { model.release(range) }
        } else {
            try read(ids, from: 0, progress)
        }
        leftText = ids
    }

    /// Computes the keys and values of the left text of plain captions as a model file stores them, see `StoredKeysAndValues`. What the file has
    /// already is not looked at.
    package func computeCaptionLeftText() throws(RudolphError) -> (elements: [UInt8], scales: [UInt8]) {
        try tasks.take()
        defer { tasks.giveBack() }
        let ids = try captionLeftText()
        leftText = []
        try read(ids, from: 0, nil)
        let bytes = KeyValueCache.storedBytes(model.configuration, keyValueFormat, positions: ids.count)
        var elements = [UInt8](repeating: 0, count: bytes.elements), scales = [UInt8](repeating: 0, count: bytes.scales)
        elements.withUnsafeMutableBytes { elements in
            scales.withUnsafeMutableBytes { scales in
                guard let to = elements.baseAddress else { return }
                prefix.store(elements: to, scales: bytes.scales == 0 ? nil : scales.baseAddress, positions: ids.count, model.configuration)
            }
        }
        return (elements, scales)
    }

    /// Computes one whole sequence and shows `observer` what the matrices of all layers multiply.
    package func observe(_ ids: [Int], _ observer: @escaping InputObserver) throws(RudolphError) {
        try tasks.take()
        defer { tasks.giveBack() }
        leftText = []
        for start in stride(from: 0, to: ids.count, by: transformer.maximumRows) {
            let positions = start..<min(start + transformer.maximumRows, ids.count)
            try transformer.pass(
                positions.map { Transformer.Row(token: ids[$0], position: $0, cache: 0) }, caches: [prefix],
                wanted: [Int](0..<positions.count), head: .text(rows: 1), observer: observer)
        }
    }

    /// For tasks that write other keys and values where the left text's were.
    func forgetLeftText() {
        leftText = []
    }

    /// Computes tokens of one sequence from `position` on; logits of the last one come back when `head` is given.
    /// - Parameter cache: where keys and values go; nil for the shared prefix.
    @discardableResult
    func read(
        _ ids: [Int], from position: Int, into cache: KeyValueCache? = nil, head: Transformer.Head? = nil, _ progress: ProgressHandler?
    ) throws(RudolphError) -> Transformer.Logits? {
        let caches = [cache ?? prefix]
        var start = 0
        while start < ids.count {
            try report(progress, .reading, start, ids.count)
            let end = min(start + transformer.maximumRows, ids.count)
            var rows: [Transformer.Row] = []
            rows.reserveCapacity(end - start)
            for index in start..<end { rows.append(Transformer.Row(token: ids[index], position: position + index, cache: 0)) }
            if end == ids.count, let head {
                return try transformer.pass(rows, caches: caches, wanted: [rows.count - 1], head: head)
            }
            try transformer.pass(rows, caches: caches)
            start = end
        }
        return nil
    }

    /// The logits after the last of these tokens, which are computed as by `read`.
    func logits(
        after ids: [Int], from position: Int, into cache: KeyValueCache? = nil, head: Transformer.Head, _ progress: ProgressHandler?
    ) throws(RudolphError) -> Transformer.Logits {
        guard let logits = try read(ids, from: position, into: cache, head: head, progress) else { throw RudolphError("no token to read") }
        return logits
    }

    /// Throws unless so many texts can be generated.
    static func validate(candidates: Int) throws(RudolphError) {
        guard (1...maximumCandidates).contains(candidates) else {
            throw RudolphError("\(candidates) candidates, expected 1 to \(maximumCandidates)")
        }
    }

    /// Caches for `count` sequences that go on from the shared prefix at `position`.
    func tails(_ count: Int, from position: Int, capacity: Int) throws(RudolphError) -> [KeyValueCache] {
        var tails: [KeyValueCache] = []
        tails.reserveCapacity(count)
        for _ in 0..<count { tails.append(try cache(start: position, .positions(capacity: capacity))) }
        return tails
    }

    /// The logits of every position of one whole sequence: for each position `Configuration.textRows` of text, then `Configuration.imageRows` of
    /// image tokens. For people who debug a conversion; `row` is called with position and logits.
    /// - Throws: for no or too many ids and for ids that the model has not, where weights are damaged or memory is short, and
    ///   `RudolphError.stopped`. `row` may use the session for pictures only.
    public func logits(
        of ids: [Int], _ row: (_ position: Int, _ logits: [Float]) -> Void
    ) throws(RudolphError) {
        let configuration = model.configuration
        guard !ids.isEmpty, ids.count <= configuration.sequenceLength else {
            throw RudolphError("\(ids.count) ids, expected 1 to \(configuration.sequenceLength)")
        }
        try tasks.take()
        defer { tasks.giveBack() }
        leftText = []
        var start = 0
        // A few positions at once: each has as many logits as there are rows in both heads.
        let atOnce = min(32, transformer.maximumRows)
        while start < ids.count {
            let range = start..<min(start + atOnce, ids.count)
            var rows: [Transformer.Row] = []
            for position in range { rows.append(Transformer.Row(token: ids[position], position: position, cache: 0)) }
            let wanted = [Int](0..<rows.count)
            let text = try transformer.pass(rows, caches: [prefix], wanted: wanted, head: .text(rows: configuration.textRows))
            var all: [[Float]] = []
            for index in wanted { all.append([Float](text[index])) }
            let image = try transformer.pass(rows, caches: [prefix], wanted: wanted, head: .image(rows: configuration.imageRows))
            for index in wanted { row(range.lowerBound + index, all[index] + [Float](image[index])) }
            start = range.upperBound
        }
    }
}
