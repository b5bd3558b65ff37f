/// The part of a picture that a drawing keeps; the rest is drawn anew.
public struct ImagePrompt: Sendable {
    /// Rows and columns of tokens to keep at the edges of the picture.
    public struct Borders: Sendable {
        /// In tokens, 0 to the tokens of a side.
        public var up, down, left, right: Int

        /// In tokens.
        public init(up: Int = 0, down: Int = 0, left: Int = 0, right: Int = 0) {
            self.up = up
            self.down = down
            self.left = left
            self.right = right
        }
    }

    /// What the picture's tokens are made from.
    public enum Encoding: Sendable {
        /// The whole picture is encoded, then the kept tokens are taken: what is to be replaced can shine through.
        case whole
        /// Each border is cut out and encoded by itself (the reference's "crop first").
        case borders
    }

    /// For each token of the picture, in reading order, what it must be; nil where it is to be drawn.
    let tokens: [Int?]
}

extension ImagePrompt {
    /// Keeps the borders of a picture, which is cut and resized as pictures to be captioned are.
    /// - Throws: for a border wider than the picture, where weights are damaged or memory is short, and `RudolphError.stopped`.
    public init(
        _ image: RGBImage, keeping borders: Borders, encoding: Encoding = .whole, in session: Session
    ) throws(RudolphError) {
        let configuration = session.model.configuration
        let side = configuration.imageTokensPerSide
        for count in [borders.up, borders.down, borders.left, borders.right] {
            guard (0...side).contains(count) else { throw RudolphError("a border of \(count) tokens, expected 0 to \(side)") }
        }
        let pixelSide = configuration.imageSide
        let unit = configuration.imageTokenizer.pixelsPerToken
        let pixels = try ImagePreparation.prepare(image, side: pixelSide)
        var tokens = [Int?](repeating: nil, count: side * side)

        func keep(_ rows: Range<Int>, _ columns: Range<Int>, from source: [Int], width: Int, origin: (row: Int, column: Int)) {
            for row in rows {
                for column in columns { tokens[row * side + column] = source[(row - origin.row) * width + column - origin.column] }
            }
        }
        func region(_ rows: Range<Int>, _ columns: Range<Int>) throws(RudolphError) {
            if rows.isEmpty || columns.isEmpty { return }
            var part: [UInt8] = []
            part.reserveCapacity(rows.count * columns.count * unit * unit * 3)
            for y in (rows.lowerBound * unit)..<(rows.upperBound * unit) {
                let start = 3 * (y * pixelSide + columns.lowerBound * unit)
                part += pixels[start..<(start + 3 * columns.count * unit)]
            }
            let encoded = try session.tokens(ofPrepared: part, height: rows.count * unit, width: columns.count * unit)
            keep(rows, columns, from: encoded, width: columns.count, origin: (rows.lowerBound, columns.lowerBound))
        }
        // In the reference's order: where borders overlap the later one wins.
        let edges: [(rows: Range<Int>, columns: Range<Int>)] = [
            ((side - borders.down)..<side, 0..<side), (0..<side, (side - borders.right)..<side), (0..<side, 0..<borders.left),
            (0..<borders.up, 0..<side),
        ]
        switch encoding {
        case .whole:
            let encoded = try session.tokens(ofPrepared: pixels, height: pixelSide, width: pixelSide)
            for edge in edges { keep(edge.rows, edge.columns, from: encoded, width: side, origin: (0, 0)) }
        case .borders:
            for edge in edges { try region(edge.rows, edge.columns) }
        }
        self.tokens = tokens
    }

    /// Keeps the tokens under the white parts of a mask: those whose squares are at least half white. The mask is cut and resized like
    /// the picture and must have its size.
    /// - Throws: for a mask of another size, where weights are damaged or memory is short, and `RudolphError.stopped`.
    public init(_ image: RGBImage, keepingWhiteOf mask: RGBImage, in session: Session) throws(RudolphError) {
        guard mask.width == image.width, mask.height == image.height else {
            throw RudolphError(
                "a mask of \(mask.width) x \(mask.height) pixels, expected the picture's \(image.width) x \(image.height)")
        }
        let configuration = session.model.configuration
        let side = configuration.imageTokensPerSide
        let unit = configuration.imageTokenizer.pixelsPerToken
        let pixelSide = configuration.imageSide
        let encoded = try session.imageTokens(of: image)
        let white = try ImagePreparation.prepare(mask, side: pixelSide)
        var tokens = [Int?](repeating: nil, count: side * side)
        for index in tokens.indices {
            var sum = 0
            for y in 0..<unit {
                let start = 3 * ((index / side * unit + y) * pixelSide + index % side * unit)
                for value in white[start..<(start + 3 * unit)] { sum += Int(value) }
            }
            if 2 * sum >= 255 * 3 * unit * unit { tokens[index] = encoded[index] }
        }
        self.tokens = tokens
    }
}
