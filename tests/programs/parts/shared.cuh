// What the translation units of this program share.
#pragma once

extern __device__ int calls;
extern __constant__ int scale[4];

__device__ int scaled(int value, int which);

struct Shape {
    __device__ virtual int area() const = 0;
};

__device__ int twice_area(const Shape &shape);
