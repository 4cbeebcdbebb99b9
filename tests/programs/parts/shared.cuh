// What the translation units of this program share.
#pragma once

extern __device__ int calls;
extern __constant__ int scale[4];

__device__ int scaled(int value, int which);

struct Rectangle {
    int width, height;
};

__device__ Rectangle grown(const Rectangle &from, int by);
