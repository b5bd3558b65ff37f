import CKernels
import Testing

@testable import Rudolph

/// However a sequence is cut into passes, batched and cached, its logits stay the same.
@Suite struct IncrementalTests {
    static func bits(_ logits: [[Float]]) -> [[UInt32]] { logits.map { $0.map(\.bitPattern) } }

    /// Logits of every position, text rows then image rows, computed in chunks of `sizes` positions, repeated as needed.
    func logits(_ session: Session, _ ids: [Int], chunks sizes: [Int]) throws -> [[Float]] {
        let configuration = session.model.configuration
        session.forgetLeftText()
        var all: [[Float]] = []
        var start = 0, turn = 0
        while start < ids.count {
            let end = min(start + sizes[turn % sizes.count], ids.count)
            turn += 1
            let rows = (start..<end).map { Transformer.Row(token: ids[$0], position: $0, cache: 0) }
            let wanted = Array(rows.indices)
            let text = try session.transformer.pass(
                rows, caches: [session.prefix], wanted: wanted, head: .text(rows: configuration.textRows))
            let texts = wanted.map { Array(text[$0]) }
            let image = try session.transformer.pass(
                rows, caches: [session.prefix], wanted: wanted, head: .image(rows: configuration.imageRows))
            for index in wanted { all.append(texts[index] + Array(image[index])) }
            start = end
        }
        return all
    }

    @Test(arguments: Demo.typesAndCaches)
    func chunksEqualTheWhole(type: WeightType, cache: KeyValueFormat) throws {
        let session = try Demo.session(type, cache: cache)
        let ids = try Golden.Array("full_ids.npy").integers()
        let whole = Self.bits(try logits(session, ids, chunks: [ids.count]))
        for sizes in [[1], [2], [3, 5, 1, 16], [31], [33, 63], [64]] {
            let found = Self.bits(try logits(session, ids, chunks: sizes))
            let different = found.indices.filter { found[$0] != whole[$0] }
            #expect(different.isEmpty, "\(type.name), \(cache.name) cache, chunks of \(sizes): positions with other bits")
        }
    }

    /// Keys and values that the file has of the captions' left text are those that any session computes, and only sessions that would
    /// compute just these take them.
    @Test(arguments: Demo.types)
    func storedLeftTextEqualsTheComputedOne(type: WeightType) throws {
        let session = try Demo.session(type, threads: 2)
        let configuration = session.model.configuration
        let ids = try session.captionLeftText()
        #expect(ids.count == configuration.leftTextLength)
        let stored = try #require(session.model.captionLeftText)
        let bytes = KeyValueCache.storedBytes(configuration, session.keyValueFormat, positions: ids.count)
        #expect(stored.ranges.map(\.count) == [bytes.elements, bytes.scales].filter { $0 > 0 })

        let computed = try session.computeCaptionLeftText()
        #expect(computed.elements == [UInt8](UnsafeRawBufferPointer(start: stored.elements, count: bytes.elements)), "\(type.name)")
        #expect(computed.scales == [UInt8](UnsafeRawBufferPointer(start: stored.scales, count: bytes.scales)), "\(type.name)")
        session.forgetLeftText()
        for layer in session.prefix.layers {
            layer.keys.initializeMemory(as: UInt8.self, repeating: 1, count: configuration.hiddenSize * ids.count)
            if let scales = layer.value_scales { scales.update(repeating: 1, count: layer.slots) }
        }
        var passes = 0
        try session.readLeftText(ids) { _ in
            passes += 1
            return true
        }
        #expect(passes == 0)
        var elements = [UInt8](repeating: 0, count: bytes.elements), scales = [UInt8](repeating: 0, count: bytes.scales)
        elements.withUnsafeMutableBytes { elements in
            scales.withUnsafeMutableBytes { scales in
                guard let to = elements.baseAddress else { return }
                session.prefix.store(
                    elements: to, scales: bytes.scales == 0 ? nil : scales.baseAddress, positions: ids.count, configuration)
            }
        }
        #expect(elements == computed.elements && scales == computed.scales, "\(type.name)")

        for precision in ActivationPrecision.allCases {
            for format in KeyValueFormat.allCases {
                let other = try Session(session.model, threads: 1, precision: precision, keyValueFormat: format)
                passes = 0
                try other.readLeftText(ids) { _ in
                    passes += 1
                    return true
                }
                let isTaken = format == .standard(for: type) && (type != .int8 || precision == .int8)
                #expect((passes == 0) == isTaken, "\(type.name), activations \(precision.name), keys and values \(format.name)")
            }
        }
    }

    /// Those that this machine has, with their masks.
    static let instructionSets: [(name: String, mask: UInt32)] = ["scalar", "avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm"]
        .map { ($0, rk_cpu_mask_named($0)) }
        .filter { String(cString: rk_cpu_name(rk_cpu_detected() & $0.1)) == $0.0 }

    @Test(arguments: Demo.typesAndCaches)
    func instructionSetsAndThreadsGiveTheSameBits(type: WeightType, cache: KeyValueFormat) throws {
        let ids = try Golden.Array("full_ids.npy").integers()
        let image = try #require(try Golden.images().first)
        let pixels = try Golden.picture(image.png).pixels
        var first: [[UInt32]]? = nil
        for (name, mask) in Self.instructionSets {
            // Scalar kernels are slow, so the count of threads changes with the fastest ones.
            let isFastest = name == Self.instructionSets.last?.name
            for threads in isFastest ? [1, 2, 3] : [2] {
                let (session, encoder) = try Demo.session(type, threads: threads, cache: cache, mask: mask)
                var rows: [[Float]] = []
                try session.logits(of: ids) { rows.append($1) }
                let bits = Self.bits(rows)
                if let first {
                    let different = bits.indices.filter { bits[$0] != first[$0] }
                    #expect(different.isEmpty, "\(type.name), \(cache.name) cache, \(name), \(threads) threads: positions with other bits")
                } else {
                    first = bits
                }
                let tokens = try encoder.tokens(of: pixels, height: 64, width: 64)
                #expect(tokens == image.indices, "\(type.name), \(cache.name) cache, \(name), \(threads) threads")
            }
        }
    }

    /// With 8-bit activations int8 needs sums of the weights' rows, which the first pass that gets to a layer makes.
    @Test func sumsOfRowsDoNotDependOnTheFirstPass() throws {
        let ids = try Golden.Array("full_ids.npy").integers()
        var first: [[UInt32]]? = nil
        for (name, mask) in Self.instructionSets {
            for threads in name == "scalar" ? [2] : [1, 3] {
                let (session, _) = try Demo.session(.int8, threads: threads, cache: .f16, mask: mask, precision: .int8)
                for sizes in name == "scalar" ? [[ids.count]] : [[1, 5, 3, 16], [ids.count]] {
                    let found = Self.bits(try logits(session, ids, chunks: sizes))
                    #expect(found == first ?? found, "\(name), \(threads) threads, chunks of \(sizes)")
                    first = first ?? found
                }
            }
        }
    }

    /// Texts that go on from a shared prefix, all at once, against each read from its beginning.
    @Test(arguments: Demo.typesAndCaches)
    func tailsEqualSingleSequences(type: WeightType, cache: KeyValueFormat) throws {
        let session = try Demo.session(type, cache: cache)
        let configuration = session.model.configuration
        let ids = try Golden.Array("full_ids.npy").integers()
        let tails = [[5, 9, 300, 4], [700, 9, 1, 2], [2047, 4, 4, 4]]
        for boundary in [configuration.rightTextStart, configuration.rightTextStart + 3, configuration.leftTextLength - 5] {
            session.forgetLeftText()
            try session.read(Array(ids.prefix(boundary)), from: 0, nil)
            let caches = try session.tails(tails.count, from: boundary, capacity: 4)
            var together: [[[UInt32]]] = []
            for step in 0..<4 {
                let rows = tails.indices.map { Transformer.Row(token: tails[$0][step], position: boundary + step, cache: $0 + 1) }
                let found = try session.transformer.pass(
                    rows, caches: [session.prefix] + caches, wanted: Array(rows.indices), head: .text(rows: configuration.textRows))
                together.append(rows.indices.map { found[$0].map(\.bitPattern) })
            }
            for (index, tail) in tails.enumerated() {
                let alone = try logits(session, ids.prefix(boundary) + tail, chunks: [256])
                for step in 0..<4 {
                    let expected = alone[boundary + step].prefix(configuration.textRows).map(\.bitPattern)
                    #expect(
                        together[step][index] == expected,
                        "\(type.name), \(cache.name) cache, prefix of \(boundary), tail \(index), step \(step)")
                }
            }
        }
    }

    /// Caches that keep only a few rows of a drawing, against those that keep everything.
    @Test(arguments: Demo.typesAndCaches)
    func drawingsEqualWholeSequences(type: WeightType, cache: KeyValueFormat) throws {
        let session = try Demo.session(type, cache: cache)
        let configuration = session.model.configuration
        let drawings = Array(try Golden.drawings().prefix(2))
        let left = drawings[0].left_ids
        session.forgetLeftText()
        try session.read(left, from: 0, nil)
        var caches = [session.prefix]
        for _ in drawings { caches.append(try session.cache(start: left.count, .drawing)) }
        var found: [[[Float]]] = []
        for step in 0..<configuration.imageLength {
            let rows = drawings.indices.map {
                Transformer.Row(token: drawings[$0].indices[step], position: left.count + step, cache: $0 + 1)
            }
            let logits = try session.transformer.pass(
                rows, caches: caches, wanted: Array(rows.indices), head: .image(rows: configuration.imageRows))
            found.append(rows.indices.map { Array(logits[$0]) })
        }
        for (index, drawing) in drawings.enumerated() {
            var step = 0
            try session.logits(of: left + drawing.indices) { position, logits in
                guard position >= left.count else { return }
                let expected = logits[configuration.textRows...]
                let same = zip(found[step][index], expected).allSatisfy { $0.bitPattern == $1.bitPattern }
                #expect(same, "\(type.name), \(cache.name) cache, drawing \(index), step \(step)")
                step += 1
            }
            #expect(step == configuration.imageLength)
        }
    }

    @Test func leftTextsAreComputedAnewWhenAnythingElseWasRead() throws {
        let session = try Demo.session()
        let image = try #require(try Golden.images().first)
        let captioner = Captioner(session)
        for _ in 0..<2 {
            #expect(try captioner.captions(tokens: image.indices, .greedy).first?.ids == image.caption_ids)
            var options = DrawOptions()
            options.sampling = .greedy
            _ = try Drawer(session).draw("кошка", options)
            #expect(try captioner.captions(tokens: image.indices, .greedy).first?.ids == image.caption_ids)
            var completing = CompleteOptions()
            completing.candidates = 2
            completing.seed = 1
            _ = try Completer(session).complete("красный", completing)
            #expect(try captioner.captions(tokens: image.indices, .greedy).first?.ids == image.caption_ids)
            _ = try Ranker(session).ranked([image.indices], by: "яблоко")
            #expect(try captioner.captions(tokens: image.indices, .greedy).first?.ids == image.caption_ids)
            _ = try Classifier(session).classify(tokens: image.indices, as: ["яблоко", "кошка"])
            try session.logits(of: [2, 3, 4]) { _, _ in }
        }
    }
}
