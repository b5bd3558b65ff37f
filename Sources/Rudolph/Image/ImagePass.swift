import CKernels

/// The layers that encoder and decoder of the VQGAN share, run by every worker of a parallel region with the same arguments.
///
/// The picture is in `x`; `free` is a work buffer of the same size, and the two change places as the layers go. `spare` holds what a shortcut
/// or the queries of attention take.
struct ImagePass {
    let worker: UnsafeMutablePointer<rk_worker>
    let features: UInt32
    let algorithm: rk_conv_algorithm
    var x, free: UnsafeMutablePointer<Float>
    let spare: UnsafeMutablePointer<Float>
    let scratch: UnsafeMutablePointer<Float>
    /// Of the norm before a convolution: `widest` scales, then as many shifts.
    let scales: UnsafeMutablePointer<Float>
    let widest: Int
    /// Rows and columns of the picture.
    var height, width: Int
    /// Raised to stop: layers after that do nothing, even where it is lowered meanwhile.
    let stop: StopFlag
    /// Two decisions of worker 0, taken in turns, so that all workers stop at the same layer.
    let decisions: UnsafeMutablePointer<Bool>
    private var turn = 0
    /// Whether the flag was found raised; `x` is no result then. The same for all workers.
    private(set) var isStopped = false

    init(
        worker: UnsafeMutablePointer<rk_worker>, features: UInt32, algorithm: rk_conv_algorithm, buffers: ImageBuffers, height: Int, width: Int,
        stop: StopFlag, decisions: UnsafeMutablePointer<Bool>
    ) {
        self.worker = worker
        self.features = features
        self.algorithm = algorithm
        x = buffers.first
        free = buffers.second
        spare = buffers.spare
        scratch = buffers.scratch
        scales = buffers.scales
        widest = buffers.sizes.channels
        self.height = height
        self.width = width
        self.stop = stop
        self.decisions = decisions
    }

    private mutating func decide() {
        if worker.pointee.index == 0 { decisions[turn] = stop.isRaised }
        rk_barrier(worker)
        // The flag may be lowered again before the next layer.
        isStopped = isStopped || decisions[turn]
        turn = 1 - turn
    }

    private func convolve(
        _ conv: rk_conv, after norm: rk_group_norm? = nil, from input: UnsafeMutablePointer<Float>, to output: UnsafeMutablePointer<Float>,
        outHeight: Int? = nil, outWidth: Int? = nil, residual: UnsafeMutablePointer<Float>? = nil
    ) {
        if isStopped { return }
        var conv = conv.summed(algorithm)
        if var norm {
            rk_group_norm_scales(worker, features, &norm, scales, scales + widest, input, Int32(height * width), scratch)
            conv.scale = UnsafePointer(scales)
            conv.shift = UnsafePointer(scales + widest)
        }
        var images = rk_conv_images(
            x: input, height: Int32(height), width: Int32(width), out: output, out_height: Int32(outHeight ?? height),
            out_width: Int32(outWidth ?? width), out_stride: paddedToPanel(Int(conv.weights.rows)), residual: residual)
        rk_conv_run(worker, features, &conv, &images, scratch)
    }

    /// Group norm and swish first, where a norm is given.
    mutating func convolve(_ conv: rk_conv, after norm: rk_group_norm? = nil) {
        convolve(conv, after: norm, from: x, to: free)
        swap(&x, &free)
    }

    /// Puts the pixels of a convolution's output side by side again where its channels do not fill whole panels.
    func compact(channels: Int) {
        let stride = paddedToPanel(channels)
        guard stride != channels else { return }
        if worker.pointee.index == 0 {
            for pixel in 1..<max(1, height * width) {
                (x + pixel * channels).update(from: x + pixel * stride, count: channels)
            }
        }
        rk_barrier(worker)
    }

    /// A convolution of stride 2.
    mutating func downsample(_ conv: rk_conv) {
        convolve(conv, from: x, to: free, outHeight: height / 2, outWidth: width / 2)
        swap(&x, &free)
        height /= 2
        width /= 2
    }

    /// Each pixel becomes four, then a convolution.
    mutating func upsample(_ conv: rk_conv) {
        convolve(conv, from: x, to: free, outHeight: 2 * height, outWidth: 2 * width)
        swap(&x, &free)
        height *= 2
        width *= 2
    }

    mutating func residual(_ block: ResidualBlock) {
        decide()
        if isStopped { return }
        convolve(block.conv1, after: block.norm1, from: x, to: free)
        if let shortcut = block.shortcut {
            convolve(shortcut, from: x, to: spare)
            convolve(block.conv2, after: block.norm2, from: free, to: x, residual: spare)
        } else {
            convolve(block.conv2, after: block.norm2, from: free, to: x, residual: x)
        }
    }

    /// Floats of scratch that the rows of keys and values take.
    static func attentionRows(positions: Int, channels: Int) -> Int { paddedToPanel(positions) * 2 * channels }

    /// Floats of scratch that `attention` takes: keys and values, both as rows and as panels, and the scores.
    static func attentionScratch(positions: Int, channels: Int) -> Int {
        let padded = paddedToPanel(positions)
        return 2 * attentionRows(positions: positions, channels: channels) + padded * padded
    }

    mutating func attention(_ block: AttentionBlock) {
        if isStopped { return }
        var norm = block.norm
        let channels = Int(norm.channels)
        let positions = height * width
        let padded = paddedToPanel(positions)
        // Channels are a multiple of the norm's groups, which are 32, so rows of queries, keys and values need no padding.
        let queries = spare
        let keys = scratch
        let values = keys + padded * channels
        let keyPanels = values + padded * channels
        let valuePanels = keyPanels + padded * channels
        let scores = valuePanels + padded * channels
        rk_group_norm_run(worker, features, &norm, free, x, Int32(positions), scratch)
        pointwise(block.query, of: positions, from: free, to: queries, scratch: keyPanels)
        pointwise(block.key, of: positions, from: free, to: keys, scratch: keyPanels)
        pointwise(block.value, of: positions, from: free, to: values, scratch: keyPanels)
        rk_pack_f32(worker, keyPanels, keys, Int32(positions), Int32(channels), channels, 1)
        rk_pack_f32(worker, valuePanels, values, Int32(channels), Int32(positions), 1, channels)
        multiply(keyPanels, rows: positions, columns: channels, by: queries, stride: channels, count: positions, to: scores, padded)
        rk_rows_softmax(
            worker, features, rk_rows(data: scores, stride: padded, count: Int32(positions), n: Int32(positions)),
            1 / Float(channels).squareRoot())
        multiply(valuePanels, rows: channels, columns: positions, by: scores, stride: padded, count: positions, to: free, channels)
        convolve(block.output, from: free, to: x, residual: x)
    }

    mutating func blocks(of level: ImageLevel) {
        for (index, block) in level.blocks.enumerated() {
            residual(block)
            if index < level.attention.count { attention(level.attention[index]) }
        }
    }

    mutating func middle(_ blocks: MiddleBlocks) {
        residual(blocks.first)
        attention(blocks.attention)
        residual(blocks.second)
    }

    /// A 1 x 1 convolution of some pixels while something lies in the scratch, which is free from `scratch` on.
    func pointwise(
        _ conv: rk_conv, of pixels: Int, from input: UnsafeMutablePointer<Float>, to output: UnsafeMutablePointer<Float>,
        scratch: UnsafeMutablePointer<Float>
    ) {
        var conv = conv.summed(algorithm)
        var images = rk_conv_images(
            x: input, height: 1, width: Int32(pixels), out: output, out_height: 1, out_width: Int32(pixels),
            out_stride: paddedToPanel(Int(conv.weights.rows)), residual: nil)
        rk_conv_run(worker, features, &conv, &images, scratch)
    }

    private func multiply(
        _ panels: UnsafeMutablePointer<Float>, rows: Int, columns: Int, by x: UnsafeMutablePointer<Float>, stride: Int, count: Int,
        to output: UnsafeMutablePointer<Float>, _ outputStride: Int
    ) {
        var input = rk_input()
        input.x = UnsafePointer(x)
        input.stride = stride
        input.count = Int32(count)
        var matrix = rk_matrix(data: panels, type: RK_F32, rows: Int32(rows), columns: Int32(columns))
        rk_matmul(worker, features, &matrix, &input, nil, RK_NONE, output, outputStride)
    }
}
